ARG DISTRO=bookworm
FROM debian:bookworm AS base-bookworm
FROM base-${DISTRO}
RUN apt-get update
