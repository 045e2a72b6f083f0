ARG TAG
FROM alpine:${TAG:-"3.16"}
RUN true
