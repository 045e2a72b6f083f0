"""ACR's dependency scanner, with its blind spots: a scan of lines, not a Dockerfile parser.

Source of the behaviour: github.com/Azure/acr-builder at 90b22f3, scan/dependencies.go,
pkg/image/dependencies.go, util/prefixes.go, builder/parse.go, util/parse.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.builds.client import is_reference
from localcloud.builds.contexts import is_remote

_HUB = "registry.hub.docker.com"
# As getShellName of Go's os package has names: in braces, one special character, or a word.
_VARIABLE = re.compile(r"\$(?:\{(.*?)\}|(\{)|([-*#$@!?0-9])|([a-zA-Z_]\w*))", re.ASCII)
_ALIASED = 4


class ScanError(Exception):
    """The scanner does not understand a line; the run fails."""


@dataclass(frozen=True, slots=True)
class ScannedImage:
    """An image as the scanner names it."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def reference(self) -> str:
        """What docker calls it."""
        name = self.repository if self.registry == _HUB else f"{self.registry}/{self.repository}"
        return f"{name}@{self.digest}" if self.digest else f"{name}:{self.tag or 'latest'}"

    @property
    def is_scratch(self) -> bool:
        """Whether it is no image."""
        return (self.registry, self.repository, self.tag) == (_HUB, "library/scratch", "latest")


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a Dockerfile is built on, in the scanner's eyes."""

    runtime: ScannedImage
    buildtime: tuple[ScannedImage, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What the scanner makes of the arguments of `docker build`.

    Attributes:
        context: The context.
        file: The Dockerfile; empty for the context's own.
        target: The stage.
        tags: The names of the image.
        arguments: Build arguments.
    """

    context: str
    file: str
    target: str
    tags: tuple[str, ...]
    arguments: Mapping[str, str]

    @property
    def remote(self) -> bool:
        """Whether the context is fetched from somewhere."""
        return is_remote(self.context)


def request(build: str) -> Request:
    """Read the arguments of `docker build` as the agent does, who splits them at white space.

    A word after one that begins with a dash is its value, even after a flag that has none.

    Raises:
        ScanError: A build argument has no value.
    """
    words = build.split()
    found = {"-f": "", "--file": "", "--target": ""}
    context, tags = ".", []
    arguments: dict[str, str] = {}
    for before, word in zip(["", *words], words, strict=False):
        plain = word.strip("\"'")
        if before in found:
            found["-f" if before == "--file" else before] = plain
        elif not before.startswith("-") and not word.startswith("-"):
            context = plain
        if before in ("-t", "--tag"):
            tags.append(word)
        elif before == "--build-arg":
            name, equals, value = word.partition("=")
            if not equals:
                told = f"{word} cannot be split into 2 tokens with '='"
                raise ScanError(f"failed to scan dependencies: {told}")
            arguments[name] = value.strip("\"'")
    return Request(context, found["-f"], found["--target"], tuple(tags), arguments)


def with_context(build: str, context: str) -> str:
    """Return the arguments of `docker build` with another context, as the agent puts it in."""
    words = build.split()
    for place, (before, word) in enumerate(zip(["", *words], words, strict=False)):
        if not before.startswith("-") and not word.startswith("-"):
            return " ".join([*words[:place], context, *words[place + 1 :]])
    return build


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
    for line in text.split("\n"):
        words = line.split()
        if not words:
            continue
        if words[0].upper() == "ARG":
            if len(words) == 1:
                told = "dockerfile syntax requires ARG directive to have exactly 1 argument"
                raise ScanError(f"{told}. LINE: {line.strip()}")
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
        image = _expand(words[1].strip("\"'"), values)
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

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3] or match[4]
        return values.get(name, "") if name else ""

    return _VARIABLE.sub(value, text)


def image_of(text: str) -> ScannedImage:
    """Split an image as the scanner does.

    Raises:
        ScanError: It is not a reference.
    """
    name, _, digest = text.partition("@")
    path, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "")
    first, slash, rest = path.partition("/")
    if not is_reference(text):
        raise ScanError(f"invalid reference format: {text!r}")
    if slash and "." in first:
        registry, repository = first, rest
    else:
        registry, repository = _HUB, path if slash else f"library/{path}"
    if ":" not in text and not digest:
        tag = "latest"
    return ScannedImage(registry, repository, tag, digest)
