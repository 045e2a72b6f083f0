ARG VERSION=
FROM ubuntu:${VERSION?needed}
