ARG REGISTRY=contoso.azurecr.io
ARG NAMESPACE=${REGISTRY}/platform
ARG BASE=${NAMESPACE}/java:${JAVA:-17}
FROM ${BASE} AS runtime
