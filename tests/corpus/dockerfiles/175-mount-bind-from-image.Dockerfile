FROM debian:12
RUN --mount=type=bind,from=aquasec/trivy:0.53.0,source=/usr/local/bin/trivy,target=/bin/trivy \
    trivy fs --exit-code 1 /
