"""Times that somebody else wrote, and those that were read from a store.

Leases, turns and due times are written by whatever clock an instance has. One whose clock is a day
ahead leaves times of tomorrow; who believes them waits a day. Nobody waits for longer than there is
a reason to, so what lies further ahead is not believed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

type Clock = Callable[[], datetime]
"""The time, with its zone."""

CLOCKS_DIFFER = timedelta(seconds=5)
"""How far the clocks of two instances, or of Azure's services, may be apart."""

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def utc_time(text: str) -> datetime:
    """Read a time in ISO 8601, in any zone; one without a zone is in UTC.

    What comes back can be shown and counted with: it is in UTC, and far from the ends of time, at
    which a zone, an hour more or a day less raise.

    Raises:
        ValueError: It is no time, or none between 1970 and 9000.
    """
    time = datetime.fromisoformat(text)
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    # Compared before it is turned into another zone, which may not be possible.
    if not possible(time):
        raise ValueError(f"{text[:40]!r} is not between 1970 and 9000")
    return time.astimezone(UTC)


def possible(time: datetime) -> bool:
    """Whether a time is between 1970 and 9000, and so can be turned into another zone."""
    return _FIRST <= time < _LAST


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


def time_text(time: datetime) -> str:
    """Return a time as text that sorts as the time does."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def day_and_time(time: datetime) -> str:
    """Write a time for a person, in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
