ARG BRANCH=release/2024
FROM acme/app:${BRANCH/\//-}
RUN true
