FROM alpine:3.20
COPY app.conf --from=nginx:1.27 /etc/app/
