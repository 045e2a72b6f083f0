FROM alpine:3.20 AS good
RUN true
FROM alpine:3.19 AS bad
COPY --from=late /x /x
FROM debian:12 AS late
