FROM index.docker.io/redis:7
FROM docker.io/memcached:1.6
COPY --from=0 /usr/local/bin/redis-cli /usr/local/bin/
