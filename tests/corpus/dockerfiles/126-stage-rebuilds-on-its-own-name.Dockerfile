FROM ubuntu:22.04 AS base
RUN apt-get update
FROM base AS base
RUN apt-get install -y curl
FROM base
CMD ["curl"]
