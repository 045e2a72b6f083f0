FROM base AS app
RUN true
FROM debian:12 AS base
RUN true
FROM app
