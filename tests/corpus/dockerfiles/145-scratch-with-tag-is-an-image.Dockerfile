FROM scratch:latest
COPY app /app
