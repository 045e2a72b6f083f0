FROM alpine:3.20 AS unused
INCLUDE common.docker
FROM alpine:3.20
