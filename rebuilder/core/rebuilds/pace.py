"""A pace that many share: when whose turn is, so that a service's token bucket never runs dry.

The generic cell rate algorithm: one time, the line's end, is all that there is to remember.
Source: ITU-T I.371, annex A; ARM's bucket is in learn.microsoft.com, "Understand how Azure
Resource Manager throttles requests".
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from msgspec import Struct

from rebuilder.core.times import ahead

_KEPT = timedelta(minutes=1)
"""How long a turn that was not used is good for."""


def expired(turn: datetime, now: datetime) -> bool:
    """Tell whether a turn is so long ago that another one has to be asked for.

    Who had its turn, and then waited for something else, would go together with all the others
    who did, when that is over.
    """
    return now - turn > _KEPT


class Rate(Struct, frozen=True):
    """What a token bucket allows.

    Attributes:
        per_second: How many tokens come back each second.
        burst: How many a full bucket holds.
    """

    per_second: int
    burst: int

    @property
    def interval(self) -> timedelta:
        """How long one token takes to come back."""
        return timedelta(seconds=1) / self.per_second

    @property
    def tolerance(self) -> timedelta:
        """How far ahead of an even pace a full bucket lets somebody be."""
        return self.interval * (self.burst - 1)


LONGEST_TURN = timedelta(hours=1)
"""How far ahead turns are given at most; whoever would have to wait longer asks again."""


class Pace(Struct, frozen=True):
    """How far turns are given out.

    Attributes:
        end: When the bucket would be full again; None if nobody ever asked.
    """

    end: datetime | None = None

    def turn(self, rate: Rate, now: datetime) -> tuple[datetime, Self]:
        """Return the next turn, not before `now`, and the pace once it is taken."""
        end = max(self.end or now, now)
        turn = max(now, end - rate.tolerance)
        return turn, type(self)(end + rate.interval)

    def credible(self, rate: Rate, now: datetime) -> bool:
        """Whether the line can be so long: nobody has a turn further ahead than it is given."""
        longest = LONGEST_TURN + rate.tolerance + rate.interval
        return self.end is None or not ahead(self.end, now, longest)

    def emptied(self, rate: Rate, now: datetime) -> Self:
        """Return the pace of an empty bucket: the next turn is now, the others follow evenly."""
        return type(self)(now + rate.tolerance)

    def slowed(self, rate: Rate, now: datetime, wait: timedelta) -> Self:
        """Return the pace after the service asked to wait: its bucket is empty until then."""
        end = now + wait + rate.tolerance
        return type(self)(max(self.end or end, end))

    def write(self) -> str:
        """Write it as text."""
        return self.end.isoformat() if self.end else ""

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `write` wrote; a text of anybody else is a pace that was never asked for."""
        try:
            return cls(datetime.fromisoformat(text))
        except ValueError:
            return cls()
