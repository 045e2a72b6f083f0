ARG SLIM
FROM node:20${SLIM+-slim}
RUN true
