FROM node:20-bookworm AS node
RUN npm run build
FROM node:20-slim
COPY --from=node /app/dist /dist
