FROM alpine:3.20 AS src
FROM debian:12
RUN --mount=from=0,target=/src true
