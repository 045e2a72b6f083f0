FROM alpine:3.20
ADD --from=busybox:1.36 /bin/busybox /bin/
