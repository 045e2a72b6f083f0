"""What a build file (a Dockerfile, a task file) says of the images that a build reads."""

from __future__ import annotations

from dataclasses import dataclass

from rebuilder.core.references import ImageReference
from rebuilder.core.tasks import Kind


@dataclass(frozen=True, slots=True)
class ImageUse:
    """An image that a build reads.

    Attributes:
        reference: The image, normalised; with a digest only if the file names one.
        kind: What the build uses it for.
        line: The line of the file on which the instruction begins, counted from 1; 0 if the image
            is named outside the file.
        way: How the text became the reference, one step each, in words for a person.
    """

    reference: ImageReference
    kind: Kind
    line: int
    way: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnknownImage:
    """An image whose name the file alone does not tell.

    Attributes:
        text: What stands in the file.
        line: Its line, counted from 1.
        reason: What would have to be known.
        tool: Whether it is one that is only run, of which no image is made.
        makes: Whether it is something that may make an image, or push one.
    """

    text: str
    line: int
    reason: str
    tool: bool = False
    makes: bool = False


@dataclass(frozen=True, slots=True)
class BuildImages:
    """Every image that a build reads.

    Attributes:
        images: In the order of their lines; the same image once per kind, at its first line.
        final: The base of the image that is built; None if that is `scratch` or unknown.
        unknown: What could not be known, each with its reason; never guessed.
    """

    images: tuple[ImageUse, ...]
    final: ImageReference | None
    unknown: tuple[UnknownImage, ...] = ()
    unused: tuple[ImageUse, ...] = ()
    needs_buildkit: tuple[tuple[int, str], ...] = ()
