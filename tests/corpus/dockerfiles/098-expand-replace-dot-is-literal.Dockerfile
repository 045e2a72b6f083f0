ARG VERSION=3.20.1
FROM acme/base-${VERSION//./-}
RUN true
