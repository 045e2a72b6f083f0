"""Arguments that a task may give to its build without ARM showing them.

ARM's examples leave secret arguments out of every answer but that of listDetails; other clients
speak of entries without a value. Either way, an argument that is not shown must not be taken for
one that is not given: the Dockerfile's own default would name the wrong base.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import replace

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Argument, DockerStep, Kind
from rebuilder.core.dependencies.effects import Effects
from rebuilder.core.dockerfile import outline
from rebuilder.errors import InvalidBuildFile

_NAME = re.compile(r"[A-Za-z_]\w*")
_PLATFORMS = frozenset(
    f"{side}{part}"
    for side in ("BUILD", "TARGET")
    for part in ("PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT")
)
"""What the builder itself gives; nobody gives them as secrets."""


def may_be_hidden(step: DockerStep, effects: Effects) -> tuple[str, ...]:
    """Return the arguments that a Dockerfile declares and the task does not show to give.

    None, if ARM shows secret arguments of the task without their values: then it shows them all.
    """
    if any(argument.value is None for argument in step.arguments):
        return ()
    shown = {argument.name for argument in step.arguments} | _PLATFORMS
    found = {
        name: None
        for build in effects.builds
        for name in _declared(build.content or b"")
        if name not in shown
    }
    return tuple(found)


def _declared(content: bytes) -> Iterable[str]:
    try:
        instructions = outline(content) if content else ()
    except InvalidBuildFile:
        return
    for instruction in instructions:
        if instruction.keyword == "arg":
            for word in instruction.text.split()[1:]:
                name = word.partition("=")[0]
                if _NAME.fullmatch(name):
                    yield name


def with_hidden(step: DockerStep, names: Iterable[str], *, surely: bool) -> DockerStep:
    """Return a step that gives arguments whose values are not known, or that it may give.

    Args:
        step: The step as ARM shows it.
        names: The arguments.
        surely: Whether the task is known to give them.
    """
    given = (Argument(name, None, surely) for name in names)
    return replace(step, arguments=(*step.arguments, *given))


def depending(sure: Effects, doubtful: Effects) -> frozenset[ImageReference]:
    """Return the images that are read only if nothing is hidden."""
    left = {(use.reference, use.kind) for use in doubtful.images}
    return frozenset(
        use.reference
        for use in sure.images
        if use.kind is not Kind.TOOL and (use.reference, use.kind) not in left
    )
