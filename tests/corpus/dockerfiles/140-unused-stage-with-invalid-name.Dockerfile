FROM alpine:3.20 AS good
RUN true
FROM Alpine:3.20 AS bad
RUN true
FROM good
