FROM alpine:3.20 AS first
COPY --from=second /x /x
FROM debian:12 AS second
RUN touch /x
FROM busybox:1.36
COPY --from=second /x /x
