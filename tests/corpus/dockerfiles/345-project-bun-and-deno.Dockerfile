FROM oven/bun:1.1-alpine AS deps
WORKDIR /app
COPY bun.lockb package.json ./
RUN bun install --frozen-lockfile

FROM denoland/deno:alpine-1.45.5 AS check
COPY . .
RUN deno check mod.ts && touch /ok

FROM oven/bun:1.1-distroless
COPY --from=deps /app/node_modules node_modules
COPY --from=check /ok /ok
CMD ["server.ts"]
