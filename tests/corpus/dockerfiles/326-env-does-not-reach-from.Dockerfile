FROM alpine:3.19 AS first
ENV TAG=3.18
RUN true
FROM alpine:${TAG:-edge}
COPY --from=first /etc/os-release /o
