FROM alpine:3.19 AS out
FROM alpine:3.20 AS out
FROM busybox:1.36
