FROM debian:12-slim
COPY \
    --from=amd64/busybox:1.36 \
    # static binary
    /bin/busybox \
    /bin/busybox
