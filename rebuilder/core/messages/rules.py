"""Rules of messages: what is told to whom, when not, and what is told together."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from rebuilder.core.policies.windows import Window, moment, zone

_DAY = timedelta(days=1)
_MIDNIGHT = 24 * 60
_MOST = 50
"""How many quiet times may follow each other."""


class What(StrEnum):
    """What can be told."""

    REBUILT = "rebuilt"
    FAILED = "failed"  # another attempt comes
    GIVEN_UP = "given-up"
    NEEDS_APPROVAL = "needs-approval"
    QUARANTINED = "quarantined"  # it would be built on a digest that a canary failed on
    STALE = "stale"  # beyond the objective
    DEAD_LETTER = "dead-letter"


class MessageRule(Struct, frozen=True):
    """A rule.

    Attributes:
        name: Its name in the file.
        what: What it tells.
        to: The names of whom it tells it to.
        quiet: When nobody is told; it waits until that is over.
        digest: How long what happens is collected, to be told at once; None if it is not.
    """

    name: str
    what: frozenset[What]
    to: tuple[str, ...]
    quiet: tuple[Window, ...] = ()
    digest: timedelta | None = None

    def loud(self, at: datetime) -> datetime:
        """Return the first moment from `at` on at which somebody may be told.

        Without one within weeks, the last moment that was looked at.
        """
        for _ in range(_MOST):
            going = [window for window in self.quiet if window.open(at)]
            if not going:
                break
            at = max(at + timedelta(seconds=1), *(_closes(window, at) for window in going))
        return at


def _closes(window: Window, at: datetime) -> datetime:
    """Return when a window that is open closes, as a clock on its wall shows it."""
    local = at.astimezone(zone(window.zone))
    minute = local.hour * 60 + local.minute
    over_midnight = window.start >= window.end
    day = local.date() + (_DAY if over_midnight and minute >= window.start else timedelta())
    if window.end == _MIDNIGHT:
        return moment(f"{day + _DAY}T00:00", window.zone, end=True)
    return moment(f"{day}T{window.end // 60:02}:{window.end % 60:02}", window.zone, end=True)
