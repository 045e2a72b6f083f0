FROM debian:12 AS a
FROM debian:12@sha256:1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef AS b
FROM busybox:1.36
COPY --from=a /etc/debian_version /a
COPY --from=b /etc/debian_version /b
