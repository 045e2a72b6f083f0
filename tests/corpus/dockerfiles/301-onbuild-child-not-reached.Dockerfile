FROM golang:1.22 AS base
ONBUILD COPY --from=golangci/golangci-lint:v1.59 /usr/bin/golangci-lint /bin/
FROM base AS lint
RUN golangci-lint run
FROM golang:1.22
RUN go build
