"""A named place in long work, with a lease: whose turn it is and where to go on.

Sweeps, polls and the shared pace of requests keep theirs here. A change names the version that it
was made from, so of any number of instances one goes on.
"""

from __future__ import annotations

from copy import replace
from datetime import datetime

from msgspec import Struct


class Bookmark(Struct, frozen=True):
    """A place.

    Attributes:
        name: Which work.
        place: Where it goes on, in the work's own words; "" for the beginning.
        owner: Who holds the lease; "" if nobody does.
        lease_until: Until when; None if nobody holds it.
        version: Counts the changes; 0 for one that was never saved.
        kept_until: When it may be forgotten; None if it is kept for ever.
    """

    name: str
    place: str = ""
    owner: str = ""
    lease_until: datetime | None = None
    version: int = 0
    kept_until: datetime | None = None

    def free(self, now: datetime) -> bool:
        """Tell whether the lease can be taken."""
        return self.lease_until is None or self.lease_until <= now

    def acquired(self, owner: str, until: datetime) -> Bookmark:
        """Return it with the lease taken, yet to be saved."""
        return replace(self, owner=owner, lease_until=until)

    def released(self, place: str) -> Bookmark:
        """Return it without a lease and at another place, yet to be saved."""
        return replace(self, place=place, owner="", lease_until=None)
