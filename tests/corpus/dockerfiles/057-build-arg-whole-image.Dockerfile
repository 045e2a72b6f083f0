ARG BASE=ubuntu:24.04
FROM ${BASE}
RUN apt-get update
