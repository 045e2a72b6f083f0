"""Whether a time that was read from a store can be true.

Leases, turns and due times are written by whatever clock an instance has. One whose clock is a day
ahead leaves times of tomorrow; who believes them waits a day. Nobody waits for longer than there is
a reason to, so what lies further ahead is not believed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rebuilder.core.rebuilds import CLOCKS_DIFFER


def ahead(time: datetime, now: datetime, longest: timedelta = timedelta()) -> bool:
    """Whether a time lies further ahead than it can.

    Args:
        time: The time, as it was read.
        now: The time now.
        longest: The longest wait that there can be; none for what has happened already.
    """
    return time - now > longest + CLOCKS_DIFFER


def age(time: datetime, now: datetime) -> timedelta:
    """How long ago something was; what cannot have been yet counts as very long ago."""
    return timedelta.max if ahead(time, now) else now - time
