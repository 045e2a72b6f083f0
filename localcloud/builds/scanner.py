"""ACR's dependency scanner, with its blind spots: a scan of lines, not a Dockerfile parser.

Source of the behaviour: github.com/Azure/acr-builder at 90b22f3, scan/dependencies.go,
pkg/image/dependencies.go, util/prefixes.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_HUB = "registry.hub.docker.com"
_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z0-9_]+))")
_ALIASED = 4

# What the agent's reference.Parse takes, but for the length of a digest.
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
    r"(?::\w[\w.-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]+)?",
    re.ASCII,
)


class ScanError(Exception):
    """The scanner does not understand a line; the run fails."""


@dataclass(frozen=True, slots=True)
class ScannedImage:
    """An image as the scanner names it."""

    registry: str
    repository: str
    tag: str
    digest: str


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a Dockerfile is built on, in the scanner's eyes."""

    runtime: ScannedImage
    buildtime: tuple[ScannedImage, ...]


def scan(text: str, arguments: Mapping[str, str], target: str = "") -> Scanned:
    """Scan a Dockerfile.

    Args:
        text: The Dockerfile.
        arguments: The build arguments of this run.
        target: The stage to stop at.

    Raises:
        ScanError: A FROM line has a form that the scanner does not know.
    """
    values = dict(arguments)
    stages: dict[str, str] = {}
    origins: list[str] = []
    origin = ""
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0].upper() == "ARG" and len(words) > 1:
            # Only the first pair of a line counts, and a build argument wins.
            name, has_default, default = words[1].partition("=")
            if has_default:
                values.setdefault(name, default.strip("\"'"))
        if words[0].upper() != "FROM":
            continue
        alias = ""
        if len(words) >= _ALIASED and words[2].upper() == "AS":
            alias = words[3]
        elif len(words) != 2:  # noqa: PLR2004 - FROM and the image
            raise ScanError(f"unable to understand line {line}")
        image = _expand(words[1], values)
        origin = stages.get(image, image)
        if alias:
            stages[alias] = origin
        if origin not in origins:
            origins.append(origin)
        if target and alias == target:
            break
    if not origins:
        raise ScanError("unexpected dockerfile format: no FROM")
    return Scanned(image_of(origin), tuple(image_of(image) for image in origins if image != origin))


def _expand(text: str, values: Mapping[str, str]) -> str:
    """Expand as Go's os.Expand does: ${NAME:-default} is a variable of that odd name, so empty."""
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[2] or "", ""), text)


def image_of(text: str) -> ScannedImage:
    """Split an image as the scanner does.

    Raises:
        ScanError: It is not a reference.
    """
    name, _, digest = text.partition("@")
    path, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "")
    first, slash, rest = path.partition("/")
    if not _REFERENCE.fullmatch(text):
        raise ScanError(f"invalid reference format: {text!r}")
    if slash and "." in first:
        registry, repository = first, rest
    else:
        registry, repository = _HUB, path if slash else f"library/{path}"
    if ":" not in text and not digest:
        tag = "latest"
    return ScannedImage(registry, repository, tag, digest)
