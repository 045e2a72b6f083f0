ARG SLIM=yes
FROM node:20${SLIM:+-slim}
RUN true
