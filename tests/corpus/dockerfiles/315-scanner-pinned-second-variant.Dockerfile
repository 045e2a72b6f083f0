ARG BASE=contoso.azurecr.io/base/node:20@sha256:9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c
FROM ${BASE}
