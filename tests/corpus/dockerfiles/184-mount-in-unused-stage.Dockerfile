FROM alpine:3.20 AS scan
RUN --mount=from=aquasec/trivy:0.53.0,target=/t /t/usr/local/bin/trivy fs /
FROM alpine:3.19
RUN true
