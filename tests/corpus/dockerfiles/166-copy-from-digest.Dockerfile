FROM scratch
COPY --from=gcr.io/kaniko-project/executor:v1.23.2@sha256:0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d /kaniko /kaniko
COPY --from=alpine@sha256:9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
