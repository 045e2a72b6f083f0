ARG DISTRO=bookworm
ARG VARIANT=slim

FROM debian:bookworm${VARIANT:+-}${VARIANT} AS base-bookworm
RUN echo bookworm > /distro
FROM debian:bullseye${VARIANT:+-}${VARIANT} AS base-bullseye
RUN echo bullseye > /distro
FROM ubuntu:noble AS base-noble
RUN echo noble > /distro

FROM base-${DISTRO} AS packages
RUN --mount=type=cache,target=/var/cache/apt,id=apt-${DISTRO} apt-get update

FROM packages
COPY --from=tianon/gosu:1.17 /gosu /usr/local/bin/
