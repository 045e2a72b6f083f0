ARG PG_MAJOR=16
FROM postgres:${PG_MAJOR}-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        build-essential \
        postgresql-server-dev-${PG_MAJOR} \
    ;
COPY --from=pgvector/pgvector:pg16@sha256:1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef /usr/lib/postgresql /pgvector

FROM postgres:${PG_MAJOR}-bookworm
COPY --from=build /usr/lib/postgresql /usr/lib/postgresql
