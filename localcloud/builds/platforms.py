"""Platforms: `os/architecture/variant`, written in one way.

Source: github.com/containerd/platforms, platforms.go and database.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from localcloud.builds.job import HERE, BuildError

_ALIASES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "armhf": "arm/v7",
    "armel": "arm/v6",
    "arm": "arm/v7",
}
_ARCHITECTURES = frozenset(
    {
        *("386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle"),
        *("ppc64", "ppc64le", "riscv64", "s390x", "wasm"),
    }
)
_VARIANT = re.compile(r"(v?\d+)?")
_SYSTEMS = frozenset({"linux", "windows", "freebsd", "darwin", "wasip1"})


def parse(text: str) -> str:
    """Return a platform as it is written here.

    Raises:
        BuildError: It is none.
    """
    first, *rest = text.strip().lower().split("/")
    if not rest and first in ("local", *_SYSTEMS):
        return HERE if first == "local" else _joined(first, "amd64", "")
    system, *rest = (first, *rest) if first in _SYSTEMS else ("linux", first, *rest)
    architecture, variant, *more = (*rest, "", "")[: max(2, len(rest))]
    architecture, _, implied = _ALIASES.get(architecture, architecture).partition("/")
    if architecture not in _ARCHITECTURES or any(more) or not _VARIANT.fullmatch(variant):
        raise BuildError(f'"{text}": unknown operating system or architecture: invalid argument')
    return _joined(system, architecture, variant or implied)


def _joined(system: str, architecture: str, variant: str) -> str:
    if variant and not variant.startswith("v"):
        variant = f"v{variant}"
    if (architecture, variant) in (("arm64", "v8"), ("amd64", "v1")):
        variant = ""
    return "/".join(part for part in (system, architecture, variant) if part)


def of(described: Mapping[str, Any]) -> str:
    """Return the platform that an image's configuration or an index's entry tells of."""
    architecture = str(described.get("architecture") or "amd64")
    architecture, _, implied = _ALIASES.get(architecture, architecture).partition("/")
    variant = str(described.get("variant") or implied)
    return _joined(str(described.get("os") or "linux"), architecture, variant)


def wire(platform: str) -> dict[str, str]:
    """Return a platform as an index has it."""
    system, architecture, *variant = platform.split("/")
    return {
        "architecture": architecture,
        "os": system,
        **({"variant": variant[0]} if variant else {}),
    }


def acceptable(platform: str) -> list[str]:
    """Return what serves for a platform, best first: older variants of arm run on newer ones."""
    system, architecture, *variant = platform.split("/")
    if architecture != "arm":
        return [platform, *([f"{system}/{architecture}"] if variant else [])]
    newest = int((variant or ["v7"])[0].removeprefix("v"))
    return [f"{system}/arm/v{number}" for number in range(newest, 4, -1)]
