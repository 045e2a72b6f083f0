"""Times that somebody else wrote."""

from __future__ import annotations

from datetime import UTC, datetime

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
    if not _FIRST <= time < _LAST:
        raise ValueError(f"{text[:40]!r} is not between 1970 and 9000")
    return time.astimezone(UTC)
