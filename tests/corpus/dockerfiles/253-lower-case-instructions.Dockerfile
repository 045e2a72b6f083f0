arg tag=20
from node:${tag} as build
run npm run build
from nginx:1.27
copy --from=build /dist /usr/share/nginx/html
