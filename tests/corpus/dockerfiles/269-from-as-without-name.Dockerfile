FROM alpine:3.20 AS
RUN true
