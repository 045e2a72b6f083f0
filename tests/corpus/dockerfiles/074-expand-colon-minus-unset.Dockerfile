ARG TAG
FROM alpine:${TAG:-3.19}
RUN true
