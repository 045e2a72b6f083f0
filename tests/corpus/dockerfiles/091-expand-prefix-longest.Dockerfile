ARG REPO=github.com/acme/python
FROM ${REPO##*/}:3.12
RUN true
