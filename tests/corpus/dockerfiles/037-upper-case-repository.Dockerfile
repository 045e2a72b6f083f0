FROM ghcr.io/Contoso/api-base:1
RUN true
