# syntax=docker/dockerfile:1.9
FROM python:3.12-slim AS build
COPY --from=ghcr.io/astral-sh/uv:latest@sha256:0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d /uv /bin/uv
RUN --mount=type=cache,target=/home/app/.cache/uv \
    --mount=type=bind,source=uv.lock,target=uv.lock \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    uv sync --locked --no-install-project

FROM python:3.12-slim
COPY --from=build /app /app
