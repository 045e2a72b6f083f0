FROM node:18 AS ng-build
WORKDIR /ng-app
COPY . .
RUN npm ci && npx ng build --configuration production

FROM nginxinc/nginx-unprivileged:1.27-alpine
COPY nginx.conf /etc/nginx/conf.d/default.conf
COPY --from=ng-build /ng-app/dist /usr/share/nginx/html
