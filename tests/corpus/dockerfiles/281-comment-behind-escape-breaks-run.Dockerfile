FROM debian:12
RUN apt-get update && \ # refresh
    apt-get install -y curl
