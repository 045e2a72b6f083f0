ARG TARGETARCH=amd64
FROM contoso.azurecr.io/base/runtime:${TARGETARCH}
