FROM node:20 AS deps
RUN npm ci
FROM deps AS test
COPY --from=cypress/base:20.14.0 /home/app/.cache /home/app/.cache
FROM deps AS build
RUN npm run build
