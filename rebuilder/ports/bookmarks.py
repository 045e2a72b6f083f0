"""Named places in long work."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from rebuilder.core.bookmarks import Bookmark
from rebuilder.ports.ledger import Retired


class Bookmarks(Protocol):
    """Named places in long work, which instances share.

    Every method raises TransientError if the store cannot be reached.
    """

    def read(self, name: str) -> Bookmark:
        """Return a bookmark; one of version 0 if it was never saved."""

    def save(self, bookmark: Bookmark) -> Bookmark:
        """Store a change of a bookmark.

        Args:
            bookmark: The changed bookmark, with the version that it was made from.

        Returns:
            The bookmark as stored, with the next version.

        Raises:
            Conflict: The stored one has another version.
        """

    def retire(self, now: datetime, place: str) -> Retired:
        """Forget some of what is kept until `now` only; see `Ledger.retire`."""

    def close(self) -> None:
        """Close the connections."""
