FROM index.docker.io/library/redis:7-alpine
COPY redis.conf /usr/local/etc/redis/redis.conf
