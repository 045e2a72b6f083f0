ARG TAG=1.2.3-rc4
FROM acme/app:${TAG/-*/-final}
RUN true
