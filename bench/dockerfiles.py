"""Dockerfiles to measure with: a folder's, or samples; and what mutations make of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

CORPUS = Path(__file__).parents[1] / "tests" / "corpus" / "dockerfiles"

_GO = """\
# syntax=docker/dockerfile:1
ARG GO_VERSION=1.22
ARG ALPINE_VERSION=3.19

FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-alpine AS build
WORKDIR /src
# Modules first: they change less often.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/home/app/.cache/go-build \\
    --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH
ENV CGO_ENABLED=0 GOOS=$TARGETOS
RUN go build -trimpath -ldflags="-s -w" -o /out/app ./cmd/app

FROM alpine:${ALPINE_VERSION}
LABEL org.opencontainers.image.title="app" maintainer="someone"
RUN apk add --no-cache ca-certificates tzdata && \\
    adduser -D -u 1000 app
COPY --from=build /out/app /usr/local/bin/app
COPY --from=gcr.io/distroless/static:nonroot /etc/passwd /etc/passwd
USER app
EXPOSE 8080/tcp
HEALTHCHECK --interval=30s --timeout=3s CMD wget -q -O- http://localhost:8080/ || exit 1
ENTRYPOINT ["app"]
CMD ["serve", "--port=8080"]
"""

_NODE = """\
FROM node:20-bookworm-slim AS base
ENV PNPM_HOME="/pnpm"
ENV PATH="$PNPM_HOME:$PATH"
RUN corepack enable
WORKDIR /app

FROM base AS deps
COPY package.json pnpm-lock.yaml ./
RUN --mount=type=cache,id=pnpm,target=/pnpm/store pnpm install --frozen-lockfile

FROM base AS builder
COPY --from=deps /app/node_modules ./node_modules
COPY . .
RUN pnpm run build

FROM base
ENV NODE_ENV=production
COPY --from=builder --chown=node:node /app/dist ./dist
COPY --from=deps --chown=node:node /app/node_modules ./node_modules
USER node
EXPOSE 3000
CMD ["node", "dist/server.js"]
"""

_PYTHON = """\
ARG REGISTRY=myregistry.azurecr.io
FROM ${REGISTRY}/python:3.12-slim
ENV PYTHONUNBUFFERED=1 \\
    PYTHONDONTWRITEBYTECODE=1 \\
    PIP_NO_CACHE_DIR=off
RUN apt-get update \\
    # what psycopg needs
    && apt-get install -y --no-install-recommends \\
        build-essential \\
        libpq-dev \\
    && rm -rf /var/lib/apt/lists/*
WORKDIR /code
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY . /code/
RUN <<EOF
python manage.py collectstatic --noinput
echo done
EOF
EXPOSE 8000
CMD ["gunicorn", "--bind", "0.0.0.0:8000", "app.wsgi"]
"""

_DOTNET = """\
FROM mcr.microsoft.com/dotnet/aspnet:8.0 AS base
WORKDIR /app
EXPOSE 80
EXPOSE 443

FROM mcr.microsoft.com/dotnet/sdk:8.0 AS build
ARG BUILD_CONFIGURATION=Release
WORKDIR /src
COPY ["App/App.csproj", "App/"]
RUN dotnet restore "App/App.csproj"
COPY . .
WORKDIR "/src/App"
RUN dotnet build "App.csproj" -c $BUILD_CONFIGURATION -o /app/build

FROM build AS publish
ARG BUILD_CONFIGURATION=Release
RUN dotnet publish "App.csproj" -c $BUILD_CONFIGURATION -o /app/publish /p:UseAppHost=false

FROM base AS final
WORKDIR /app
COPY --from=publish /app/publish .
ENTRYPOINT ["dotnet", "App.dll"]
"""

_WINDOWS = """\
# escape=`
ARG TAG=ltsc2022
FROM mcr.microsoft.com/windows/servercore:${TAG:-ltsc2019}
SHELL ["powershell", "-Command", "$ErrorActionPreference = 'Stop';"]
RUN Invoke-WebRequest -UseBasicParsing `
      -Uri https://example.com/setup.exe `
      -OutFile C:\\setup.exe
ONBUILD COPY --from=tools C:\\tools C:\\tools
VOLUME C:\\data
CMD ["C:\\\\app\\\\app.exe"]
"""

_SMALL = "FROM nginx:1.25-alpine\nCOPY html /usr/share/nginx/html\n"

SAMPLES = tuple(text.encode() for text in (_GO, _NODE, _PYTHON, _DOTNET, _WINDOWS, _SMALL))

PIECES = [
    piece.encode()
    for piece in (
        "FROM ", "\nFROM a AS b\n", "COPY --from=", "COPY --from=0 a b\n", "RUN --mount=from=x,",
        "ONBUILD ", "ARG A=", "ENV A=", "HEALTHCHECK --interval=1s CMD x\n", "# escape=`\n",
        "# syntax=", "# check=", "// syntax=x\n", '{"syntax": "x"}', "<<EOF", "<<-'E'\n", "\nEOF\n",
        "${", "}", "${A:-", "${A:?", "${A##*", "${A/b/c}", "$A", "$$", "'", '"', "\\", "`", "\\\n",
        "\\ \n", "[", '["a", "b"]', "[1]", "--", "--platform=$A ", " ", "\t", "\r\n", "\n", "\v",
        "\0", "\x1c", "\x85", "\xa0", "\u2003", "\ufeff", "\u00e9", "\U0001f40b", "AS", "@sha256:",
        ":", "/", "scratch", "=", ",", "#", "-1", "99999999999999999999",
    )
]  # fmt: skip


LARGE = (
    b"FROM a\n" * 100_000,
    b"FROM a AS b\n" + b"FROM b AS b\n" * 80_000,
    b"FROM a\n" + b"COPY --from=b / /\n" * 50_000,
    b"FROM a\n" + b"COPY --from=0 / /\n" * 50_000,
    b"FROM a\n" + b"RUN --mount=type=cache,target=/x y\n" * 25_000,
    b"ARG A\n" * 150_000 + b"FROM a\n",
    b"FROM a\nRUN " + b"x \\\n" * 200_000,
    b"FROM a\nRUN " + b"<<E " * 15_000 + b"\n" + b"E\n" * 15_000,
    b"FROM a\nRUN " + b"<<E " * 15_000,
    b"FROM a\nRUN <<E\n" + b"x\n" * 400_000,
    b"FROM a\nENV " + b"A='b' " * 10_000,
    b"FROM a\nENV A=" + b"$A" * 30_000 + b"'",
    b'FROM a\nENV A="' + b"$A" * 30_000,
    b"FROM a\nLABEL " + b"a" * 65_000,
    b"ONBUILD " * 8_000,
    b"FROM a AS b\n" + b"ONBUILD RUN x\n" * 20_000 + b"FROM b\n" * 2,
    b"FROM a AS b\nONBUILD RUN " + b"--mount=from=c,target=/x " * 2_000 + b"\nFROM b\n" * 5,
    b"".join(b"FROM s%d AS s%d\n" % (n, n + 1) for n in range(40_000)),
    b"".join(b"FROM a AS s%d\nCOPY --from=s%d / /\n" % (n, n - 1) for n in range(1, 20_000)),
    b"".join(b"FROM a AS s%d\nCOPY --from=s%d / /\n" % (n, n + 1) for n in range(20_000)),
    b"[" * 60_000,
    b"FROM a\nRUN " + b"[" * 60_000,
    b'FROM a\nRUN ["' + b"\\u0000" * 10_000,
    b"\\\n" * 500_000,
    b"\r" * 60_000 + b"\n" + b"\xff" * 60_000,
    b"# escape=`\n" + b"`\n" * 300_000,
    b"FROM " + b"a/" * 30_000,
    b"FROM " + b"a-" * 30_000,
    b"FROM a@sha256:" + b"a" * 60_000,
    b"FROM --platform=" + b"a/" * 30_000 + b" a",
    b'FROM a\nRUN --mount="' + b'\\"' * 30_000 + b'" x',
    b"ARG A=" + b"a" * 60_000 + b"\n" + b"ARG B=${A//a/bbbbbbbb}\n" * 100 + b"FROM $B\n",
    b"ARG A=" + b"a" * 60_000 + b"\n" + b"ARG B=${A##*b*a?*c}\n" * 20_000 + b"FROM $B\n",
    b"ARG A=ab\n" + b"ARG A=${A}${A}\n" * 20_000 + b"FROM $A\n",
    b"FROM scratch AS s\n"
    + b"".join(b"ENV V%d=$W\n" % n for n in range(2_000))
    + b"FROM s AS s\n" * 10_000
    + b"VOLUME $X\n",
    b"FROM scratch\nENV A=a\n" + b"ENV A=$A$A\nVOLUME $A\n" * 8_000,
    b"FROM scratch\n" + b"ARG A=$B\nRUN --mount=target=$A x\n" * 6_000,
    b"ARG A0=$TARGETARCH\n"
    + b"".join(b"ARG A%d=$A%d\n" % (n + 1, n) for n in range(5_000))
    + b"FROM a:$A4999\n" * 3_000,
    b"ARG X\n" + b"ARG A=$X\n" * 10_000 + b"FROM a:$A\n",
    b"FROM a AS b\n" + b"FROM c\nCOPY --from=d / /\n" * 8_000 + b"FROM b\n",
    b"FROM a\n" + b"ADD https://x/y.git?a=%2e&b#c /z\n" * 6_000,
    b"FROM a\nADD https://x/y.git?" + b"&a=1" * 15_000 + b" /z",
    b"FROM a\nCOPY --chmod=" + b"u+x," * 15_000 + b" a /b",
    b"FROM a\nCOPY --chmod=" + b"7" * 60_000 + b" a /b",
    b"FROM a\nEXPOSE " + b"1:" * 30_000,
    b"FROM a\nEXPOSE " + b"9" * 60_000,
    b"FROM a\nHEALTHCHECK --interval=" + b"9.9h" * 15_000 + b" CMD x",
    b"FROM a\nHEALTHCHECK --interval=" + b"9" * 60_000 + b" CMD x",
    b"FROM a\nRUN --mount=type=tmpfs,size=" + b"1" * 60_000 + b",target=/x y",
    b"FROM a\nCOPY a C:" + b"\\..\\a" * 12_000,
)
"""Very long, deep, wide and growing inputs."""


def files(folder: Path | None = None) -> Sequence[bytes]:
    """The Dockerfiles of a folder; by default those of the tests' corpus, else the samples."""
    chosen = folder or CORPUS
    if not chosen.is_dir():
        if folder is not None:
            raise FileNotFoundError(f"{folder} is no folder")
        return SAMPLES
    found = [path.read_bytes() for path in sorted(chosen.rglob("*")) if _is_dockerfile(path)]
    return found or SAMPLES


def _is_dockerfile(path: Path) -> bool:
    named = "dockerfile" in path.name.lower() or path.suffix.lower() == ".dockerfile"
    return named and path.is_file() and path.suffix not in (".json", ".py", ".md", ".yaml")


def mutations(seed: int, count: int, seeds: Sequence[bytes] = SAMPLES) -> Iterator[bytes]:
    """Inputs that nobody would write: mutated files, pieces in any order, random bytes."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(count):
        yield mutation(chance, chance.choice(seeds), PIECES, _BEGINNING)


_BEGINNING = b"ARG A=" + b"ab" * 50 + b"\nFROM "


def mutated_dockerfile(chance: random.Random, content: bytes) -> bytes:
    """Return a Dockerfile that nobody would write."""
    return mutation(chance, content, PIECES, _BEGINNING)


def mutation(
    chance: random.Random, content: bytes, pieces: Sequence[bytes], beginning: bytes
) -> bytes:
    """Return an input that nobody would write.

    Args:
        chance: What it depends on.
        content: What an honest one holds.
        pieces: What means something where it is read.
        beginning: What much of one piece is put after.
    """
    match chance.randrange(8):
        case 0:
            return chance.randbytes(chance.randrange(200))
        case 1:
            return b"".join(chance.choices(pieces, k=chance.randrange(40)))
        case 2:
            return _much_of_one(chance, pieces, beginning)
        case _:
            return _mutated(chance, content, pieces)


def _mutated(chance: random.Random, before: bytes, pieces: Sequence[bytes]) -> bytes:
    content = bytearray(before)
    for _ in range(chance.choice((1, 1, 2, 3, 11))):
        start = chance.randrange(len(content) + 1)
        end = min(len(content), start + chance.choice((0, 0, 1, 3, 30)))
        match chance.randrange(4):
            case 0:
                content[start:end] = b""
            case 1:
                content[start:end] = chance.choice(pieces)
            case 2:
                content[start:end] = chance.randbytes(chance.randrange(4))
            case _:
                at = chance.randrange(len(before) + 1)
                content[start:start] = before[at : at + chance.randrange(60)]
    return bytes(content)


def _much_of_one(chance: random.Random, pieces: Sequence[bytes], beginning: bytes) -> bytes:
    """One piece, or two, very often: depth, width and growth."""
    piece = b"".join(chance.choices(pieces, k=chance.randrange(1, 3)))
    times = chance.choice((10, 100, 1000, 20_000)) // len(piece) + 1
    head, tail = chance.choice(pieces), chance.choice(pieces)
    return beginning + head + piece * times + tail + b"\n"
