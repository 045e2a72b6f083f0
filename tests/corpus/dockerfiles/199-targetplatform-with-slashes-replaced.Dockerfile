FROM contoso.azurecr.io/base/runtime:2-${TARGETPLATFORM//\//-}
