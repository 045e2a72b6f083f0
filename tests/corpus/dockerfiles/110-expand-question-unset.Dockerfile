ARG VERSION
FROM ubuntu:${VERSION:?VERSION-is-required}
