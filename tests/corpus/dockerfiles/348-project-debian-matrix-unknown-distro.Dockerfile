ARG DISTRO=bookworm
FROM debian:bookworm AS base-bookworm
FROM debian:bullseye AS base-bullseye
FROM base-${DISTRO:?}
RUN apt-get update
