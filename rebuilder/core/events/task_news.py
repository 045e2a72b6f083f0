"""How a registry's new and changed tasks come to be known: by events, or by its list.

Whether Azure sends ResourceWriteSuccess for ACR tasks is not documented, and whether such events
come here depends on the topic of the registry's own resource group or subscription. So each
registry proves it for itself: until an event has told of a task of it that was written, its list
of tasks is looked at every hour.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from msgspec import Struct

from rebuilder.core.times import age, utc_time

_HOURLY = timedelta(minutes=58)
"""The sweep asks, every quarter of an hour: what is two minutes short of an hour is an hour."""

_CLOCKS = timedelta(minutes=1)
"""A task that was written so shortly before it was read may have been read as it was before."""

_SEEN, _ASKED = "seen", "asked"


class TaskNews(Struct, frozen=True):
    """What is remembered of one registry.

    Attributes:
        seen: When the first event of a task that was written was taken; None if none ever was.
        asked: When a look at its list was last asked for; None if none was, or none is needed.
    """

    seen: datetime | None = None
    asked: datetime | None = None

    @classmethod
    def read(cls, place: str) -> Self:
        """Read what `write` wrote; what cannot be read says nothing."""
        kind, _, text = place.partition(" ")
        try:
            time = utc_time(text)
        except ValueError:
            return cls()
        return cls(time if kind == _SEEN else None, time if kind == _ASKED else None)

    def write(self) -> str:
        """Write it as a bookmark's place: a time that an event was seen is all that counts then."""
        if self.seen is not None:
            return f"{_SEEN} {self.seen.isoformat()}"
        return f"{_ASKED} {self.asked.isoformat()}" if self.asked is not None else ""

    def look_due(self, refreshed: datetime, now: datetime) -> bool:
        """Whether the list of tasks is to be looked at.

        Args:
            refreshed: When the last reading of every task of the registry began.
            now: The time now.
        """
        if self.seen is not None:
            return False
        last = [refreshed] if self.asked is None else [refreshed, self.asked]
        return all(age(time, now) >= _HOURLY for time in last)


def changed_since(written: datetime, read_at: datetime) -> bool:
    """Whether a task may have been changed since it was read.

    Args:
        written: When ARM says that it was last written.
        read_at: When it was read for the index.
    """
    return written > read_at - _CLOCKS
