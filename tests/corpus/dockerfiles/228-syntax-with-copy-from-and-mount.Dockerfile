# syntax=docker/dockerfile:1
FROM alpine:3.20
COPY --from=ext.azurecr.io/tools/ext:1 /ext /ext
RUN --mount=from=ext.azurecr.io/tools/build:2,target=/b /b/run
