FROM alpine:3.20 AS first
RUN --mount=from=second,target=/x true
FROM debian:12 AS second
FROM first
