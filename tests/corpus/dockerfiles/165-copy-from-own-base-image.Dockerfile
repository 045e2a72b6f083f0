FROM nginx:1.27
COPY --from=nginx:1.27 /etc/nginx/nginx.conf /defaults/nginx.conf
