# syntax=docker/dockerfile:1
ARG XX_VERSION=1.6.1
FROM --platform=$BUILDPLATFORM tonistiigi/xx:${XX_VERSION} AS xx

FROM --platform=$BUILDPLATFORM rust:1.79-alpine AS build
RUN apk add clang lld
COPY --from=xx / /
ARG TARGETPLATFORM
RUN xx-cargo build --release --target-dir ./build && xx-verify ./build/$(xx-cargo --print-target-triple)/release/app

FROM alpine:3.20
COPY --from=build /src/build/*/release/app /usr/bin/app
