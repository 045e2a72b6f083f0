ARG TAG=3.20 # the Alpine release
FROM alpine:${TAG}
