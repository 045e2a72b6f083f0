FROM alpine:3.20
RUN --mount=TYPE=bind,From=busybox:1.36,Target=/bb /bb/bin/busybox true
