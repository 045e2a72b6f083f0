# syntax=docker/dockerfile:1.6
ARG CUDA_VERSION=12.4.1
ARG CUDNN=cudnn
ARG UBUNTU=22.04
ARG BASE_REPO=nvidia/cuda

FROM ${BASE_REPO}:${CUDA_VERSION}-${CUDNN}-devel-ubuntu${UBUNTU} AS devel
ARG MAX_JOBS=8
RUN --mount=type=cache,target=/home/app/.cache/pip \
    pip wheel --no-deps -w /wheels flash-attn==2.6.1

FROM ${BASE_REPO}:${CUDA_VERSION}-${CUDNN}-runtime-ubuntu${UBUNTU} AS runtime
RUN --mount=type=bind,from=devel,source=/wheels,target=/wheels \
    --mount=type=bind,from=ghcr.io/astral-sh/uv:0.4.18,source=/uv,target=/usr/local/bin/uv \
    uv pip install --system /wheels/*.whl
ENTRYPOINT ["python3", "-m", "serve"]
