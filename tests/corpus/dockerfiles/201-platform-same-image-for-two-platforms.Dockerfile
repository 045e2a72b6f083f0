FROM --platform=linux/amd64 busybox:1.36 AS x86
FROM --platform=linux/arm64 busybox:1.36 AS arm
FROM scratch
COPY --from=arm /bin/busybox /busybox-arm64
COPY --from=x86 /bin/busybox /busybox-amd64
