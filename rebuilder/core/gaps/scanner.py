"""What ACR's own scanner makes of a Dockerfile, to tell what it will record and what not.

It reads lines, not instructions: FROM and ARG at the beginning of any line, words at white space,
variables as Go's os.Expand has them. Source: github.com/Azure/acr-builder at 90b22f3,
scan/dependencies.go and pkg/image, whose findings ACR keeps as a task's base image dependencies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import DOCKER_HUB
from rebuilder.core.acr.tasks import Kind
from rebuilder.errors import InvalidReference

_MARK = b"\xef\xbb\xbf"
# ${NAME}, where NAME is anything up to the brace; $NAME; $ and one special character.
_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|\{|([*#$@!?0-9-])|([A-Za-z_][A-Za-z0-9_]*))")
_WITH_ALIAS = 4
_QUOTES = "'\""
_LONGEST_LINE = 64 * 1024 - 1
"""Bytes; at a longer line Go's bufio.Scanner ends, as if the file did."""


class SeenFrom(Struct, frozen=True):
    """A line that begins with FROM, as the scanner sees it.

    Attributes:
        line: The line, counted from 1.
        word: What stands after FROM.
        image: What that is to the scanner: with values for variables, and the image of the stage
            if it is one.
        reference: The image as it is recorded; None if it is no image, so that the run fails.
    """

    line: int
    word: str
    image: str
    reference: ImageReference | None


class Scan(Struct, frozen=True):
    """What the scanner makes of a Dockerfile.

    Attributes:
        seen: The lines that begin with FROM, up to where it stops.
        refused: The line that it does not understand, so that the run fails, whether it begins
            with FROM or with ARG; None if there is none.
        values: The variables that it knows, with their values.
    """

    seen: tuple[SeenFrom, ...]
    refused: int | None
    values: Mapping[str, str]

    @property
    def fails(self) -> bool:
        """Whether the run fails, so that nothing is recorded."""
        return self.refused is not None or any(seen.reference is None for seen in self.seen)

    def record(self) -> dict[ImageReference, Kind]:
        """What is recorded: the image of the last stage as runtime, every other as build-time."""
        if self.fails or not self.seen:
            return {}
        last = self.seen[-1].image
        found: dict[ImageReference, Kind] = {}
        for seen in self.seen:
            kind = Kind.RUNTIME if seen.image == last else Kind.BUILD_TIME
            if seen.reference is not None and found.get(seen.reference) is not Kind.RUNTIME:
                found[seen.reference] = kind
        return found


def scan(content: bytes, arguments: Mapping[str, str], target: str = "") -> Scan:
    """Scan a Dockerfile as ACR does.

    Args:
        content: The Dockerfile.
        arguments: The build arguments of a run.
        target: The stage at which it stops; "" for none.
    """
    values = {name: value.strip(_QUOTES) for name, value in arguments.items()}
    stages: dict[str, str] = {}
    seen: list[SeenFrom] = []
    for number, line in enumerate(content.removeprefix(_MARK).split(b"\n"), 1):
        if len(line) > _LONGEST_LINE:
            break
        words = line.decode(errors="replace").split()
        keyword = words[0].upper() if words else ""
        if keyword == "ARG":
            if len(words) == 1:
                return Scan(tuple(seen), number, values)
            # Only the first pair of a line, and only where the name has no value yet.
            name, has_default, default = words[1].partition("=")
            if has_default:
                values.setdefault(name, default.strip(_QUOTES))
        if keyword != "FROM":
            continue
        named = len(words) >= _WITH_ALIAS and words[2].lower() == "as"
        if not named and len(words) != 2:  # noqa: PLR2004 - FROM and the image
            return Scan(tuple(seen), number, values)
        image = expand(words[1].strip(_QUOTES), values)
        image = stages.get(image, image)
        seen.append(SeenFrom(number, words[1], image, recorded_reference(image)))
        if named:
            stages[words[3]] = image
            if words[3] == target:
                break
    return Scan(tuple(seen), None, values)


def expand(text: str, values: Mapping[str, str]) -> str:
    """Expand variables as Go's os.Expand does: `${NAME:-x}` is a variable of that odd name."""
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[2] or match[3] or "", ""), text)


def variables(text: str) -> list[str]:
    """The variables of a text as the scanner names them, with what stands in the braces."""
    return [match[1] or match[2] or match[3] or "" for match in _VARIABLE.finditer(text)]


def recorded_reference(image: str) -> ImageReference | None:
    """The image as the record names it, read as a dependency; None if it is no image.

    The record keeps tag and digest of `image:tag@digest` apart, so that the digest looks like what
    a run used.
    """
    name, at, digest = image.partition("@")
    path, colon, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "")
    first, slash, rest = path.partition("/")
    if slash and "." in first:
        registry, repository = first, rest
    else:
        registry, repository = DOCKER_HUB, path if slash else f"library/{path}"
    if (colon and not tag) or (at and not digest):
        return None
    try:
        return ImageReference.from_parts(registry, repository, tag, "" if tag else digest)
    except InvalidReference:
        return None
