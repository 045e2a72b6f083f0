FROM contoso.azurecr.io/base/runtime-${TARGETOS}-${TARGETARCH}:2
COPY app /app
