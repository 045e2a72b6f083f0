# syntax=docker/dockerfile:1.4
FROM docker:27-cli
COPY <<"EOF" /build/Dockerfile
FROM evil:1 AS build
COPY --from=evil:2 /a /a
EOF
COPY --from=docker/buildx-bin:0.16.1 /buildx /usr/libexec/docker/cli-plugins/docker-buildx
