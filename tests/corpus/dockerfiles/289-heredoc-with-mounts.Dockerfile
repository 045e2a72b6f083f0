FROM ubuntu:24.04
RUN --mount=type=cache,target=/var/cache/apt \
    --mount=from=ghcr.io/jqlang/jq:1.7.1,source=/jq,target=/usr/bin/jq <<EOF
apt-get update
FROM evil:1
EOF
FROM ubuntu:22.04
COPY --from=0 /etc/os-release /os
