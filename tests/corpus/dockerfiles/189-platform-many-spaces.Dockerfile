FROM    --platform=$BUILDPLATFORM    node:20    AS    assets
RUN npm run build
FROM		nginx:1.27
COPY --from=assets /dist /usr/share/nginx/html
