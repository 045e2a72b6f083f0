FROM node:20 AS build
RUN npm run build

FROM cypress/included:13.13.0 AS e2e
COPY . .
RUN cypress run

FROM nginx:1.27
COPY --from=build /app/dist /usr/share/nginx/html
