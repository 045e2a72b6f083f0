FROM contoso.azurecr.io/base/node:20 AS BuildBase
RUN npm ci
FROM buildbase AS Build
RUN npm run build
FROM nginx:1.27
COPY --from=build /d /d
