# syntax=index.docker.io/docker/dockerfile-upstream:master
FROM alpine:3.20
RUN true
