FROM alpine:3.20 AS lint
COPY --from=hadolint/hadolint:2.12.0 /bin/hadolint /bin/
COPY --from=koalaman/shellcheck:v0.10.0 /bin/shellcheck /bin/
RUN hadolint Dockerfile

FROM alpine:3.20
COPY run.sh /
