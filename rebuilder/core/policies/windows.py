"""Windows and freezes: when something may be built, by the clock on somebody's wall.

A moment is in a window if a clock on a wall in its time zone shows a time of the window. That is
all there is to daylight saving: an hour that is skipped opens nothing, one that comes twice opens
twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_AHEAD = 16
"""Days that are looked at: one day of the week may fall into an hour that is skipped."""

_MOST = 400
"""How often a time is looked for that is in each of several windows."""


class Window(Struct, frozen=True):
    """A time of day, on some days of the week.

    Attributes:
        days: The days on which it begins, 0 for Monday.
        start: When it begins, in minutes after midnight.
        end: When it ends; not after `start` if it ends on the next day. 1440 is midnight.
        zone: The IANA time zone.
    """

    days: tuple[int, ...]
    start: int
    end: int
    zone: str

    def open(self, at: datetime) -> bool:
        """Whether a moment is in it."""
        local = at.astimezone(zone(self.zone))
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or (
            (day - 1) % 7 in self.days and minute < self.end
        )

    def opens(self, at: datetime) -> datetime | None:
        """Return the first moment from `at` on that is in it; None if there is none for weeks."""
        if self.open(at):
            return at
        return min((m for m in self._beginnings(at) if m >= at and self.open(m)), default=None)

    def _beginnings(self, at: datetime) -> Iterator[datetime]:
        """Yield when it may begin: at its time, or where the clock is put forward or back."""
        first = at.astimezone(zone(self.zone)).date() - _DAY
        start = time(self.start // 60, self.start % 60)
        for number in range(_AHEAD):
            day = first + number * _DAY
            yield from _moments(datetime.combine(day, start), self.zone)
            if (change := _change(day, self.zone)) is not None:
                yield change

    def __str__(self) -> str:
        days = ",".join(DAYS[day] for day in self.days) if len(self.days) < len(DAYS) else "daily"
        return f"{days} {_clock(self.start)}-{_clock(self.end)} {self.zone}"


class Freeze(Struct, frozen=True):
    """A time in which nothing is built.

    Attributes:
        name: Its name.
        begins: When it begins.
        ends: When it is over.
    """

    name: str
    begins: datetime
    ends: datetime


type AnyOf = tuple[Window, ...]
"""Windows of which one is to be open."""


def opens(each: Iterable[AnyOf], at: datetime) -> datetime | None:
    """Return the first moment from `at` on in which one window of each group is open.

    Args:
        each: The groups; without any, every moment will do.
        at: When to begin.

    Returns:
        None if there is no such moment for as far as was looked.
    """
    groups, found = tuple(each), at
    for _ in range(_MOST):
        latest = found
        for group in groups:
            moments = [moment for window in group if (moment := window.opens(latest)) is not None]
            if not moments:
                return None
            latest = max(latest, min(moments))
        if latest == found:
            return found
        found = latest
    return None


def moment(text: str, name: str, *, end: bool = False) -> datetime:
    """Return the moment of a date, or of a date and a time, on the wall of a time zone.

    Args:
        text: `2026-12-23` or `2026-12-23T18:00`.
        name: The IANA time zone.
        end: Whether it is an end: a date without a time counts as a whole.

    Raises:
        ValueError: It is neither.
    """
    given = datetime.fromisoformat(text)
    if given.tzinfo is not None:
        raise ValueError(text)
    whole = len(text) == len("2026-12-23")
    moments = _moments(given + (_DAY if end and whole else timedelta()), name)
    return moments[-1] if end else moments[0]


@lru_cache
def zone(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        ValueError: There is none of this name; some names are files or folders of others.
    """
    try:
        return ZoneInfo(name)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(name) from error


def _moments(local: datetime, name: str) -> list[datetime]:
    """Return when a clock shows a time: once, twice, or never, which gives moments around it."""
    place = zone(name)
    both = {local.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(both)


@lru_cache(maxsize=1024)
def _change(day: date, name: str) -> datetime | None:
    """Return when the clock is put forward or back on a day."""
    place = zone(name)
    midnight = datetime.combine(day, time(), UTC)
    before, after = midnight - timedelta(hours=15), midnight + timedelta(hours=39)

    def offset(moment: datetime) -> timedelta | None:
        return moment.astimezone(place).utcoffset()

    old = offset(before)
    if offset(after) == old:
        return None
    while after - before > _SECOND:
        middle = before + (after - before) / 2
        if offset(middle) == old:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
