ARG FLAVOR=prod
FROM node:20 AS base
FROM base AS dev
COPY --from=denoland/deno:bin /deno /usr/local/bin/
FROM base AS prod
COPY --from=krallin/ubuntu-tini /usr/bin/tini /tini
FROM ${FLAVOR}
CMD ["node"]
