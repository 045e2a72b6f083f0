ARG VERSION=1_22_3
FROM golang:${VERSION//_/.}
RUN true
