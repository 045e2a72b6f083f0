ARG TAG=1.27
FROM nginx:"$TAG"-alpine
RUN true
