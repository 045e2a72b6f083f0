ARG SCANNER=aquasec/trivy:0.53.0
FROM alpine:3.20
RUN --mount=type=bind,from=${SCANNER},target=/t true
