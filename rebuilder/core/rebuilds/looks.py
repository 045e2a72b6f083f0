"""When a run is looked at next, by how long those before it took; pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from statistics import median

from rebuilder.core.rebuilds.rebuild import Rebuild, State

SOONEST = timedelta(seconds=5)
"""The least between two looks at a run: one list of a registry's runs answers for as long."""

_AFTER = timedelta(seconds=1)
_SHARE = 8


def lasted(rebuild: Rebuild) -> timedelta | None:
    """Return how long a rebuild took, its run with what came before; None if that is not known."""
    ended = rebuild.ended_at
    if ended is None or ended <= rebuild.claimed_at:
        return None
    return ended - rebuild.claimed_at


def usual(rebuilds: Iterable[Rebuild]) -> timedelta | None:
    """Return how long rebuilds that succeed usually take: the median; None if none did."""
    done = (lasted(rebuild) for rebuild in rebuilds if rebuild.state is State.SUCCEEDED)
    return middle(length for length in done if length is not None)


def middle(lengths: Iterable[timedelta]) -> timedelta | None:
    """Return the median of some lengths; None if there are none."""
    seconds = [length.total_seconds() for length in lengths]
    return timedelta(seconds=median(seconds)) if seconds else None


def next_look(so_far: timedelta, expected: timedelta | None, longest: timedelta) -> timedelta:
    """Return after how long a run is looked at next whose place another rebuild waits for.

    That is when it is expected to end. Of one that nobody knows, or that takes longer, an eighth
    of how long it has gone on, or of how much longer: so much of a place stands empty at most.

    Args:
        so_far: How long it has gone on.
        expected: How long it is expected to take; None if nobody knows.
        longest: The longest that is waited between two looks, whoever waits.
    """
    if expected is not None and so_far < expected:
        wait = expected - so_far + _AFTER
    else:
        wait = max(SOONEST, (so_far - (expected or timedelta())) / _SHARE)
    return min(wait, longest)
