ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS python-base
ENV POETRY_VERSION=1.8.3
FROM python-base AS builder-base
RUN pip install poetry==$POETRY_VERSION
COPY pyproject.toml poetry.lock ./
RUN poetry install --only main
FROM python-base AS development
COPY --from=builder-base /opt/poetry /opt/poetry
COPY --from=mcr.microsoft.com/playwright/python:v1.45.0 /ms-playwright /ms-playwright
FROM python-base AS production
COPY --from=builder-base /opt/venv /opt/venv
