FROM golang:1.22 AS build
RUN go build -o /app .
FROM alpine:3.20
COPY --from="build" /app /app
COPY --from='busybox:1.36' /bin/busybox /bb
