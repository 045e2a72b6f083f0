FROM alpine:3.20 debian:12 busybox
RUN true
