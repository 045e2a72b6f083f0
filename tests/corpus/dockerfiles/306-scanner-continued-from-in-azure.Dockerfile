FROM \
  contoso.azurecr.io/base/node:20 \
  AS build
RUN npm ci
FROM \
  contoso.azurecr.io/base/nginx:1.27
COPY --from=build /d /d
