FROM alpine:3 # base
RUN true
