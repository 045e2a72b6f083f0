FROM node:18 AS web
FROM golang:1.22 AS api
FROM alpine:3.20
COPY --from=1 /out/api /api
