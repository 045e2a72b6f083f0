ARG TOOLS=contoso.azurecr.io/tools:1
FROM ${TOOLS} AS tools
FROM alpine:3.20
COPY --from=tools /bin/tool /bin/
