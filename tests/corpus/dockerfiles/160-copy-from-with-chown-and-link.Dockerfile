# syntax=docker/dockerfile:1
FROM node:20-alpine
COPY --link --chown=node:node --from=contoso.azurecr.io/assets/fonts:2 /fonts /usr/share/fonts
COPY --chmod=755 --from=docker.io/krallin/ubuntu-tini:latest /usr/local/bin/tini /tini
