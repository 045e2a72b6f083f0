ARG TAG
FROM r.azurecr.io/alpine:${TAG:-3.19}
RUN true
