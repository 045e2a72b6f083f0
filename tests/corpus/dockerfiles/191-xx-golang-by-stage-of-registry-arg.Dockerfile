ARG REGISTRY=docker.io
FROM --platform=$BUILDPLATFORM ${REGISTRY}/tonistiigi/xx:master AS xx
FROM --platform=$BUILDPLATFORM ${REGISTRY}/library/golang:1.22-alpine AS base
COPY --from=xx / /
FROM base AS build
ARG TARGETPLATFORM
RUN xx-go build -o /out/app .
FROM scratch AS binary
COPY --from=build /out/app /
