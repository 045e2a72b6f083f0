ARG TOOLS=contoso.azurecr.io/tools:1
FROM alpine:3.20
COPY --from=${TOOLS} /bin/tool /bin/
