ARG NODE_VERSION=20 \
    # keep in step with .nvmrc
    ALPINE_VERSION=3.20

FROM node:${NODE_VERSION}-alpine${ALPINE_VERSION}
