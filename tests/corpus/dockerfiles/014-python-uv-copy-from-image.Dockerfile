FROM python:3.12-slim-bookworm
COPY --from=ghcr.io/astral-sh/uv:0.4.18 /uv /uvx /bin/
WORKDIR /app
ADD . /app
RUN uv sync --frozen
CMD ["uv", "run", "app"]
