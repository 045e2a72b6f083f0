FROM contoso.azurecr.io/base/runtime:${TARGETARCH}
