FROM alpine:3.20 AS 2nd
RUN true
