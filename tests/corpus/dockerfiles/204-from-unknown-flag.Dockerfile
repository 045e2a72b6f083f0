FROM --pull=always alpine:3.20
RUN true
