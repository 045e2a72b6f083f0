ARG TAG=3.20
RUN echo hi
FROM alpine:${TAG}
