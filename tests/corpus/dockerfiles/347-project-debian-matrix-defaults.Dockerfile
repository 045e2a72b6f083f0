ARG DISTRO=bookworm
ARG VARIANT=slim

FROM debian:bookworm${VARIANT:+-}${VARIANT} AS base-bookworm
RUN echo bookworm > /distro
FROM debian:bullseye${VARIANT:+-}${VARIANT} AS base-bullseye
RUN echo bullseye > /distro

FROM base-${DISTRO} AS packages
RUN apt-get update
FROM packages
CMD ["bash"]
