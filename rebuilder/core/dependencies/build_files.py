"""What a build file (a Dockerfile, a task file) says of the images that a build reads."""

from __future__ import annotations

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind


class ImageUse(Struct, frozen=True):
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


class UnknownImage(Struct, frozen=True):
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


class BuildKitOnly(Struct, frozen=True):
    """What stands in a Dockerfile and is for BuildKit, not for docker's classic builder.

    Attributes:
        line: Its line, counted from 1.
        what: What it is, in words for a person, such as `RUN --mount`.
        refused: Whether every classic builder refuses the file for it, so that a build fails. Else
            it depends on docker's version: the old ones refuse it, newer ones leave out without a
            word what it asks for.
    """

    line: int
    what: str
    refused: bool


class BuildImages(Struct, frozen=True):
    """Every image that a build reads.

    Attributes:
        images: In the order of their lines; the same image once per kind, at its first line.
        final: The base of the image that is built; None if that is `scratch` or unknown. If it
            differs between platforms, that of the first; all of them are runtime images.
        unknown: What could not be known, each with its reason; never guessed.
        unused: Images of stages that the target does not need, and that are not in `images`.
            BuildKit leaves them alone; docker's classic builder runs every stage up to the target,
            and so reads them, too. What is built does not depend on them.
        needs_buildkit: What docker's classic builder refuses, or does not carry out, in the stages
            up to the target; only what is certain.
    """

    images: tuple[ImageUse, ...]
    final: ImageReference | None
    unknown: tuple[UnknownImage, ...] = ()
    unused: tuple[ImageUse, ...] = ()
    needs_buildkit: tuple[BuildKitOnly, ...] = ()
