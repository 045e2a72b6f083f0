FROM golang:1.22 AS build
ARG RUNTIME_TAG=3.20
RUN go build
FROM alpine:3.18${RUNTIME_TAG}
COPY --from=build /a /a
