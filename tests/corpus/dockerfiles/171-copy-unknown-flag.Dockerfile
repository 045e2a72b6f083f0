FROM alpine:3.20
COPY --form=busybox:1.36 /bin/busybox /bin/
