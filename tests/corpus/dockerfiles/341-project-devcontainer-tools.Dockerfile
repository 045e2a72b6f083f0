FROM mcr.microsoft.com/devcontainers/base:1-bookworm AS base

FROM hashicorp/terraform:1.9.2 AS terraform
FROM mcr.microsoft.com/azure-cli:2.62.0 AS azure-cli
FROM bitnami/kubectl:1.30.3 AS kubectl
FROM alpine/helm:3.15.3 AS helm

FROM base AS full
COPY --from=terraform /bin/terraform /usr/local/bin/
COPY --from=kubectl /opt/bitnami/kubectl/bin/kubectl /usr/local/bin/
COPY --from=4 /usr/bin/helm /usr/local/bin/

FROM base AS slim
COPY --from=kubectl /opt/bitnami/kubectl/bin/kubectl /usr/local/bin/
