FROM --platform=linux/amd64 node:20 AS build
RUN npm run build
FROM --platform=linux/amd64 nginx:1.27-alpine
COPY --from=build /app/dist /usr/share/nginx/html
