# syntax=docker/dockerfile:1@sha256:0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d
FROM alpine:3.20
RUN true
