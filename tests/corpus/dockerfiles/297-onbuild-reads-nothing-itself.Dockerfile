FROM node:20
ONBUILD COPY --from=deps.azurecr.io/cache:1 /node_modules /app/node_modules
ONBUILD COPY . /app
