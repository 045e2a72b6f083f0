ARG TAG
FROM alpine:${TAG:-${DEFAULT_TAG:-3.18}}
RUN true
