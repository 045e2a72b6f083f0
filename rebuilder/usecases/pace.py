"""The pace of writes to ARM, which every instance keeps together: one bookmark per subscription."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from copy import replace
from datetime import datetime, timedelta

from rebuilder.core.rebuilds.pace import LONGEST_TURN, Pace, Rate
from rebuilder.errors import Conflict
from rebuilder.usecases.clocks import impossible
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

_TRIES = 50
WAIT = timedelta(seconds=30)
"""How long ARM is left alone if it does not say how long."""

_locks: dict[str, threading.Lock] = {}


def turn(context: Context, subscription: str) -> datetime:
    """Return when a run may be scheduled in a subscription: nobody else is given that turn.

    One that is more than LONGEST_TURN ahead is not given, and to be asked for again.

    Raises:
        TransientError: The store cannot be reached, or everybody asks at once.
    """
    rate, now = _rate(context), context.now()
    given: list[datetime] = []

    def take(pace: Pace) -> Pace:
        when, taken = pace.turn(rate, now)
        given.append(when)
        # The line is as long as it may be: whoever is told so asks again.
        return pace if when > now + LONGEST_TURN else taken

    _change(context, subscription, take)
    return given[-1]


def crowded(context: Context, subscription: str) -> bool:
    """Tell whether somebody who asked for a turn now would have to wait for it.

    Raises:
        TransientError: The store cannot be reached.
    """
    now = context.now()
    pace = _read(context, subscription, context.bookmarks.read(_name(subscription)).place)
    return pace.turn(_rate(context), now)[0] > now


def slow_down(context: Context, subscription: str, retry_after: timedelta | None) -> None:
    """Remember that ARM asked to wait: turns that are given out from now on come later.

    Args:
        context: The ports.
        subscription: Where.
        retry_after: How long ARM asked to wait; None if it did not say.

    Raises:
        TransientError: The store cannot be reached, or everybody asks at once.
    """
    rate, now = _rate(context), context.now()
    wait = WAIT if retry_after is None else min(retry_after, LONGEST_TURN)
    _change(context, subscription, lambda pace: pace.slowed(rate, now, wait))
    log.warning("subscription %s: ARM asks to wait %s", subscription, wait)


def _rate(context: Context) -> Rate:
    settings = context.settings
    return Rate(settings.arm_writes_per_second, settings.arm_write_burst)


def _read(context: Context, subscription: str, place: str) -> Pace:
    """Return the pace of a bookmark; that of a clock that was wrong is put right."""
    pace, rate, now = Pace.read(place), _rate(context), context.now()
    if pace.end is None or pace.credible(rate, now):
        return pace
    longest = LONGEST_TURN + rate.tolerance + rate.interval
    impossible(f"the pace of subscription {subscription}", pace.end, now, longest)
    return pace.emptied(rate, now)


def _name(subscription: str) -> str:
    return f"pace/{subscription}"


def _change(context: Context, subscription: str, change: Callable[[Pace], Pace]) -> None:
    name = _name(subscription)
    # The threads of one instance queue up here, so that conflicts are with other instances only.
    with _locks.setdefault(name, threading.Lock()):
        for last in range(_TRIES):
            bookmark = context.bookmarks.read(name)
            changed = change(_read(context, subscription, bookmark.place)).write()
            try:
                context.bookmarks.save(replace(bookmark, place=changed))
            except Conflict:
                # Somebody got a turn in between: each conflict is another's progress.
                if last == _TRIES - 1:
                    raise
            else:
                return
