# syntax=contoso.azurecr.io/docker/dockerfile:1
FROM contoso.azurecr.io/base/node:20
COPY --from=contoso.azurecr.io/shared/certs:latest /certs /usr/local/share/ca-certificates
RUN --mount=type=bind,from=contoso.azurecr.io/shared/tools:3,target=/tools /tools/install
