ARG REGISTRY
FROM ${REGISTRY:-contoso.azurecr.io}/base/python:${PY:-3.12}-slim
