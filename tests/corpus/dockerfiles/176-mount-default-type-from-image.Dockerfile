FROM debian:12
RUN --mount=from=busybox:1.36,target=/bb /bb/bin/busybox --install /usr/local/bin
