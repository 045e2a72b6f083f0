FROM debian:12
LABEL maintainer="José <jose@example.org>"
COPY --from=busybox:1.36 /bin/busybox /bb
