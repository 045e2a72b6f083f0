ARG TAG=3.20
FROM alpine:${TAG:-3.19}
RUN true
