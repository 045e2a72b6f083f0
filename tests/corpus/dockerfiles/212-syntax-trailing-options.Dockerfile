# syntax=docker/dockerfile:1 // experimental options
FROM alpine:3.20
RUN true
