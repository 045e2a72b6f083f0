# syntax=docker/dockerfile:1.7
ARG NODE_VERSION=20.15
ARG GO_VERSION=1.22

FROM node:${NODE_VERSION}-alpine AS node-base
WORKDIR /repo
COPY package.json pnpm-lock.yaml ./
RUN --mount=type=cache,target=/home/app/.pnpm pnpm install

FROM golang:${GO_VERSION}-alpine AS go-base
WORKDIR /repo
COPY go.mod go.sum ./

FROM node-base AS web-build
COPY apps/web apps/web
RUN pnpm --filter web build

FROM go-base AS api-build
COPY services/api services/api
RUN go build -o /out/api ./services/api

FROM go-base AS worker-build
COPY services/worker services/worker
RUN --mount=from=bufbuild/buf:1.35,source=/usr/local/bin/buf,target=/usr/bin/buf buf generate
RUN go build -o /out/worker ./services/worker

FROM nginx:1.27-alpine AS web
COPY --from=web-build /repo/apps/web/dist /usr/share/nginx/html

FROM gcr.io/distroless/static-debian12 AS api
COPY --from=api-build /out/api /api
ENTRYPOINT ["/api"]

FROM alpine:3.20 AS worker
COPY --from=worker-build /out/worker /worker
ENTRYPOINT ["/worker"]

FROM worker AS worker-debug
COPY --from=ghcr.io/go-delve/delve:1.23 /dlv /dlv
