FROM debian:12
MAINTAINER Platform Team <platform@example.org>
RUN true
