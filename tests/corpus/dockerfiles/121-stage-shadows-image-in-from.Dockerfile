FROM node:20-bookworm AS node
RUN npm install -g pnpm
FROM node
COPY . .
