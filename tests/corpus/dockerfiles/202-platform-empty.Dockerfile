FROM --platform=$BASE_PLATFORM alpine:3.20
RUN true
