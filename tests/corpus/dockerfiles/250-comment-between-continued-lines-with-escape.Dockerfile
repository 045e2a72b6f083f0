FROM debian:12
RUN apt-get update && apt-get install -y \
    curl \
    # FROM evil:1 \
    git
FROM debian:12-slim
RUN true
