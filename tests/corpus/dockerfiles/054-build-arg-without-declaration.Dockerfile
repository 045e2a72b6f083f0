FROM node:${NODE_VERSION:-18}-alpine
