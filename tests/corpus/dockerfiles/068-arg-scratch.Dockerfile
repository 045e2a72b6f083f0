ARG BASE=scratch
FROM golang:1.22 AS build
RUN go build -o /app .
FROM ${BASE}
COPY --from=build /app /app
