FROM alpine:3.20 AS certs
RUN apk add --no-cache ca-certificates

FROM debian:12-slim AS base
COPY --from=certs /etc/ssl/certs /etc/ssl/certs
COPY --from=busybox:1.36-musl /bin/busybox /bin/busybox

FROM base
COPY app /app
