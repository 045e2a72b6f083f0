"""What operators decided."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.policies.versions import PolicyVersion


class Steering(Protocol):
    """What operators decided: the policy file with its versions, and their acts.

    Every method raises TransientError if the store cannot be reached, and Denied if it may not be.
    """

    def token(self) -> str:
        """Return the token of the policy file; "" if there is none."""

    def policy(self) -> PolicyVersion | None:
        """Return the policy file; None if there is none."""

    def versions(self, limit: int) -> list[PolicyVersion]:
        """Return at most `limit` versions of the policy file, newest first."""

    def apply(
        self, text: str, *, who: str, at: datetime, because: str, before: str
    ) -> PolicyVersion:
        """Store a policy file; the versions before are kept.

        Args:
            text: The file.
            who: Who applies it.
            at: When.
            because: Why.
            before: The token of the version that it is to replace; "" if there is none.

        Raises:
            Conflict: Somebody has applied another one meanwhile.
        """

    def acts(self, page: int | None = None) -> Bookmark:
        """Return what operators did, as text; a page of what they did before, if one is named."""

    def save_acts(self, acts: Bookmark) -> Bookmark:
        """Store what operators did, as `Bookmarks.save` does.

        Raises:
            Conflict: The stored one has another version.
        """

    def close(self) -> None:
        """Close the connections."""
