FROM public.ecr.aws/docker/library/node:20 AS assets
RUN npm ci && npm run build

FROM 123456789012.dkr.ecr.eu-west-1.amazonaws.com/platform/nginx:2024.08
COPY --from=assets /dist /usr/share/nginx/html
