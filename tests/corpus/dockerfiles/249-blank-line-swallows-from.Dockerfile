FROM node:20 AS build
RUN npm ci && \
    npm run build \

FROM nginx:1.27
RUN rm -rf /usr/share/nginx/html/*
