"""Forget what is old, a slice at a time, so that what is kept does not grow for ever.

One instance at a time goes through everything once a day. A bookmark tells when the round began and
where it goes on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Self

from msgspec import Struct

from rebuilder.core.times import age
from rebuilder.ports.ledger import Retired
from rebuilder.usecases.context import Context
from rebuilder.usecases.leases import SLICE, leased

log = logging.getLogger(__name__)

BOOKMARK = "history"

_ROUND = timedelta(days=1)
_CREDIBLE = timedelta(days=3)
"""A round that begins later than so long after the last one removes nothing: either nothing ran
meanwhile, or the clock is wrong, and must not take with it what it calls old.
"""

type _Step = Callable[[Context, datetime, str], Retired]

_STORES: dict[str, _Step] = {
    "bookmarks": lambda context, now, place: context.bookmarks.retire(now, place),
    "letters": lambda context, now, place: context.dead_letters.retire(
        now - context.settings.history, place
    ),
    "ledger": lambda context, now, place: context.ledger.retire(
        now - context.settings.history, place
    ),
}


class Retirement(Struct):
    """What came of a call.

    Attributes:
        removed: How many records were removed.
        complete: Whether the round is over; else the next call goes on.
    """

    removed: int = 0
    complete: bool = True


class _Round(Struct, frozen=True):
    """When the last round began, and where it goes on: in which store, and where there.

    A round that is over is in no store.
    """

    begun: datetime | None = None
    store: str = ""
    place: str = ""

    @classmethod
    def read(cls, text: str) -> Self:
        try:
            values = json.loads(text)
            return cls(datetime.fromisoformat(values["begun"]), values["store"], values["place"])
        except (ValueError, KeyError, TypeError):
            return cls()

    def write(self) -> str:
        begun = self.begun.isoformat() if self.begun else ""
        return json.dumps({"begun": begun, "store": self.store, "place": self.place})


def retire_history(context: Context, owner: str) -> Retirement:
    """Go on with a round through everything that is kept, or begin one if it is time.

    Args:
        context: The ports.
        owner: A name for this call, unique among all, to hold the lease with.

    Raises:
        TransientError: A store cannot be reached; the next call goes on.
    """
    report = Retirement()
    with leased(context, BOOKMARK, owner) as lease:
        if lease is None:
            log.info("another instance retires history")
            return report
        now = context.now()
        going = _begun(_Round.read(lease.place), now)
        while going.store and context.now() - now <= SLICE:
            done = _STORES[going.store](context, now, going.place)
            report.removed += done.removed
            going = _Round(going.begun, going.store, done.place)
            if not done.place:
                stores = [*_STORES, ""]
                going = _Round(going.begun, stores[stores.index(going.store) + 1])
            lease.place = going.write()
        lease.place = going.write()
    report.complete = not going.store
    log.info(
        "history: %d records older than %s retired, %s",
        report.removed,
        context.settings.history,
        "all looked at" if report.complete else f"goes on in the {going.store}",
    )
    return report


def _begun(last: _Round, now: datetime) -> _Round:
    """Return the round to go on with: a new one, if it is time."""
    if last.begun is None or age(last.begun, now) > _CREDIBLE:
        return _Round(now)
    if last.store in _STORES:
        return last
    return _Round(now, next(iter(_STORES))) if now - last.begun >= _ROUND else last
