"""Long work that one instance at a time does, slice by slice: the lease of its bookmark."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from msgspec import Struct

from rebuilder.core.bookmarks import Bookmark
from rebuilder.errors import Conflict, RebuilderError
from rebuilder.usecases.clocks import impossible
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

SLICE = timedelta(minutes=2)
"""After so long work stops and is gone on with later: less than a function may take."""

LEASE = timedelta(minutes=8)
"""How long a bookmark is taken for: longer than a function may take."""


class Lease(Struct):
    """A bookmark that is ours for a while.

    Attributes:
        place: Where the work goes on; what it is when the lease is given back is kept.
    """

    place: str


@contextmanager
def leased(context: Context, name: str, owner: str) -> Iterator[Lease | None]:
    """Hold a bookmark's lease while work is done; None if somebody else holds it.

    It is given back whatever comes of the work, so that what fails does not keep others off.

    Raises:
        TransientError: The store cannot be reached; a lease that is held runs out by itself.
    """
    mark = acquire_lease(context, name, owner)
    if mark is None:
        yield None
        return
    lease = Lease(mark.place)
    try:
        yield lease
    except BaseException:
        try:
            release_lease(context, mark, lease.place)
        except RebuilderError as error:
            log.warning("%s: its lease runs out by itself: %s", name, error)
        raise
    release_lease(context, mark, lease.place)


def acquire_lease(context: Context, name: str, owner: str) -> Bookmark | None:
    """Return a bookmark whose lease is ours now; None if it is somebody else's."""
    mark, now = context.bookmarks.read(name), context.now()
    if not mark.free(now) and not _impossible(mark, now):
        return None
    try:
        return context.bookmarks.save(mark.acquired(owner, now + LEASE))
    except Conflict:
        return None


def _impossible(mark: Bookmark, now: datetime) -> bool:
    until = mark.lease_until or now
    return impossible(f"the lease of {mark.name}", until, now, LEASE)


def release_lease(context: Context, mark: Bookmark, place: str) -> None:
    """Give a lease back; nothing happens if it ran out and somebody else has it."""
    try:
        context.bookmarks.save(mark.released(place))
    except Conflict:
        log.warning("%s: took longer than its lease; somebody else goes on", mark.name)
