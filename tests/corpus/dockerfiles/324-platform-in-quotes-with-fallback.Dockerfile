FROM --platform="${BASE_PLATFORM:-linux/amd64}" alpine:3.20
RUN true
