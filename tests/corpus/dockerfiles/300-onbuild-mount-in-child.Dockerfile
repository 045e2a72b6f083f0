FROM golang:1.22 AS base
ONBUILD RUN --mount=from=golangci/golangci-lint:v1.59,target=/lint /lint/usr/bin/golangci-lint run
FROM base AS lint
FROM alpine:3.20
COPY --from=lint /tmp /tmp
