"""What images of a run are: made, or fetched; and what the pushed ones stand on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct, field

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.dependencies.build_files import ImageUse
from rebuilder.core.dependencies.effects import Built
from rebuilder.core.taskfile._commands import docker
from rebuilder.errors import InvalidReference


class Made(Struct):
    """An image that a build makes.

    Attributes:
        line: The line of its step.
        uses: What its Dockerfile reads, with the way for a person.
        stands_on: The other images of the run that it is built on.
        final: What it is built on in the end; None if that is not known, or nothing.
        pushed: Whether it is pushed.
    """

    line: int
    uses: list[ImageUse] = field(default_factory=list)
    stands_on: list[Made | Fetched] = field(default_factory=list)
    final: ImageReference | None = None
    pushed: bool = False


class Fetched(Struct):
    """An image that is pulled, or copied from registry to registry.

    Attributes:
        use: What is read; None if its name is not known.
        run: Whether a container of it is run.
        built_on: Whether a build of the run reads it.
        pushed: Whether it is pushed, under whatever name.
    """

    use: ImageUse | None
    run: bool = False
    built_on: bool = False
    pushed: bool = False


class Doing(Struct):
    """What a step is known to do so far; see StepDone."""

    line: int
    id: str
    kind: str
    builds: list[tuple[Made, Built]] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    pushes: list[str] = field(default_factory=list)


type Content = Made | Fetched | None


def what_stays(contents: Sequence[Made | Fetched]) -> set[int]:
    """Return the contents that are pushed, and those that a pushed image stands on."""
    found: set[int] = set()
    waiting = [one for one in contents if one.pushed]
    while waiting:
        one = waiting.pop()
        if id(one) not in found:
            found.add(id(one))
            if isinstance(one, Made):
                waiting += one.stands_on
    return found


@lru_cache(maxsize=1024)
def canonical(image: str) -> str:
    """Return the name under which an image of the run is known, whatever is unknown in it."""
    if image.startswith(docker.LIST):
        return docker.LIST + canonical(image.removeprefix(docker.LIST))
    try:
        return str(ImageReference.parse(image))
    except InvalidReference:
        return image
