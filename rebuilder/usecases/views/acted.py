"""What operators did: who, when, what and why."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.acts import history
from rebuilder.usecases.views._values import Value, skip_of

MOST = 100
"""How many acts a page holds at most."""


class Acted(Value, frozen=True):
    """What an operator did.

    Attributes:
        id: Names it.
        what: What.
        target: To what, as the command writes it.
        who: Who.
        because: Why.
        at: When.
        until: Until when it holds; None if until somebody ends it.
        came: What came of it; "" if that is not known yet.
    """

    id: str
    what: str
    target: str
    who: str
    because: str
    at: datetime
    until: datetime | None
    came: str


class ActPage(Value, frozen=True):
    """Some acts.

    Attributes:
        acts: The acts, newest first.
        next: What gives the older ones; "" if there are none.
    """

    acts: tuple[Acted, ...]
    next: str


def acts(context: Context, after: str, limit: int) -> ActPage:
    """Return what operators did.

    Raises:
        NotFound: `after` is no place.
        TransientError: The store cannot be reached.
    """
    skip = skip_of(after)
    end = skip + max(1, min(limit, MOST))
    found = list(islice(history(context, end + 1), skip, None))
    shown = tuple(
        Acted(
            act.id,
            act.what.value,
            str(act.target),
            act.who,
            act.because,
            act.at,
            act.until,
            act.came,
        )
        for act in found[: end - skip]
    )
    return ActPage(shown, str(end) if len(found) > end - skip else "")
