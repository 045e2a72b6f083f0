FROM node:20.15.1-alpine3.20@sha256:0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d AS build
RUN npm ci

FROM gcr.io/distroless/nodejs20-debian12:nonroot@sha256:9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c
COPY --from=build /app /app
