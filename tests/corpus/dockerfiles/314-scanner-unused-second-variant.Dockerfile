FROM mcr.microsoft.com/playwright:v1.45.0-jammy AS e2e
RUN npx playwright test
FROM contoso.azurecr.io/base/node:20
COPY . .
