FROM amd64/alpine:3.20 AS base-amd64
FROM arm64v8/alpine:3.20 AS base-arm64
FROM arm32v7/alpine:3.20 AS base-armv7
FROM base-${TARGETARCH}${TARGETVARIANT}
COPY app /app
