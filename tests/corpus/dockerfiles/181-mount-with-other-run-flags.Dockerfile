# syntax=docker/dockerfile:1
FROM alpine:3.20
RUN --network=none --mount=type=bind,from=curlimages/curl:8.9.0,target=/curl true
