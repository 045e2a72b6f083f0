ARG tag=3.19
ARG TAG=3.20
FROM alpine:${tag}
RUN true
