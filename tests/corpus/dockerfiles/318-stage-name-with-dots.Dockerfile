FROM golang:1.22 AS build-1.22_amd64
RUN go build
FROM scratch
COPY --from=build-1.22_amd64 /a /a
