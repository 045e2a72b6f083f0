ARG FLAVOR=slim DEBIAN=bookworm
FROM debian:$DEBIAN
RUN true
