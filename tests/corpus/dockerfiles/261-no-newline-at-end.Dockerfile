FROM busybox:1.36
COPY --from=alpine:3.20 /etc/os-release /os