FROM alpine:3.20 AS certs
RUN apk add ca-certificates
FROM scratch AS rootfs
COPY --from=certs /etc/ssl /etc/ssl
FROM rootfs
COPY app /app
