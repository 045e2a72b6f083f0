ARG BASE_REGISTRY
ARG TOOLS_REGISTRY=${BASE_REGISTRY}
FROM ${TOOLS_REGISTRY}/tools/minify:2 AS tools
RUN minify /in > /out.js

FROM ${BASE_REGISTRY}/baseimages/nginx:1.27
COPY --from=tools /out.js /usr/share/nginx/html/
