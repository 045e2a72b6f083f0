FROM node:20 AS base
ONBUILD COPY --from=deps.azurecr.io/cache:1 /node_modules /app/node_modules
FROM base
CMD ["node"]
