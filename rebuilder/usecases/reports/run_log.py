"""The log of a run, as people may see it: bounded, escaped, without secrets; and as it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.acr.tasks import Run
from rebuilder.core.failures.run_logs import Screen
from rebuilder.errors import NotFound, SourceUnavailable
from rebuilder.ports.acr import LogPart
from rebuilder.usecases.context import Context

EVERY = 2.0
"""How many seconds pass between two looks at a log that grows."""

_HIDES = "k"
"""Stands before a place that is in the middle of a private key."""

_LONGEST_PLACE = 30
_SETTLED = 3
"""How often a log of a run that is over is looked at that ACR does not call whole."""


class LogLines(Struct, frozen=True):
    """Some lines of a log.

    Attributes:
        lines: The lines.
        place: What gives those after them.
        more: Whether there are more to be read at once.
        over: Whether none will come after them.
        left_out: How many bytes before them were left out, because the log is so long.
    """

    lines: tuple[str, ...]
    place: str
    more: bool = False
    over: bool = False
    left_out: int = 0


def find_run(context: Context, registries: list[RegistryId], run_id: str) -> tuple[RegistryId, Run]:
    """Return a run, and which of some registries it is of.

    Raises:
        NotFound: None of them has it.
        TransientError, Denied: It could not be looked for.
    """
    # It becomes a part of an address of ARM's.
    for registry in registries if run_id.isalnum() and run_id.isascii() else ():
        try:
            return registry, context.tasks.run(registry, run_id)
        except NotFound:
            continue
    names = ", ".join(registry.name for registry in registries)
    raise NotFound(f"there is no run {run_id:.50} in {names}; see `rebuilder runs`")


def read_log(context: Context, registry: RegistryId, run_id: str, place: str = "") -> LogLines:
    """Read some lines of a run's log, which may still be written.

    Args:
        context: The ports.
        registry: The registry.
        run_id: The run.
        place: The `place` of the lines before; "" for the first ones.

    Raises:
        NotFound: There is no log, or none yet.
        SourceUnavailable: The place is none, or ACR names an address that is not Azure's.
        TransientError, Denied: It could not be read.
    """
    if len(place) > _LONGEST_PLACE:
        raise SourceUnavailable("the place in the log is none")
    screen = Screen(hides=place.startswith(_HIDES))
    part: LogPart = context.tasks.log_part(registry, run_id, place.removeprefix(_HIDES))
    lines = tuple(screen.lines(part.text))
    following = f"{_HIDES if screen.hides else ''}{part.place}"
    return LogLines(lines, following, part.more, part.complete, part.left_out)


def follow_log(
    context: Context, registry: RegistryId, run_id: str, wait: Callable[[float], object]
) -> Iterator[LogLines]:
    """Yield the lines of a run's log as they come, until the run is over.

    Args:
        context: The ports.
        registry: The registry.
        run_id: The run.
        wait: Waits for so many seconds.

    Raises:
        TransientError, Denied: The log or the run could not be read.
    """
    place, quiet = "", 0
    while True:
        try:
            found = read_log(context, registry, run_id, place)
        except NotFound:
            found = LogLines((), place)  # no agent has taken it yet
        yield found
        place = found.place
        if found.over:
            return
        if found.more:
            continue
        if found.lines:
            quiet = 0
        elif context.tasks.run(registry, run_id).status.terminal:
            quiet += 1
            if quiet >= _SETTLED:
                return
        wait(EVERY)
