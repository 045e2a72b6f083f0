FROM alpine:3.20
COPY --from=BusyBox:1.36 /bin/busybox /bb
