"""What stands in for a place that is not configured."""

from __future__ import annotations

from datetime import datetime

from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.messages.destinations import Destination
from rebuilder.core.policies.acts import PLACE
from rebuilder.core.policies.versions import PolicyVersion
from rebuilder.errors import NotFound
from rebuilder.ports.dead_letters import DeadEvents


class NoDeadEvents:
    """A DeadEventStore where Event Grid has no place for what it could not deliver."""

    def read(self) -> list[DeadEvents]:
        """Return nothing."""
        return []

    def forget(self, name: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class NoSteering:
    """A Steering where nobody can decide anything."""

    def token(self) -> str:
        """There is no policy file."""
        return ""

    def policy(self) -> PolicyVersion | None:
        """There is no policy file."""
        return None

    def versions(self, limit: int) -> list[PolicyVersion]:
        """There is no policy file."""
        del limit
        return []

    def apply(
        self, text: str, *, who: str, at: datetime, because: str, before: str
    ) -> PolicyVersion:
        """Refuse it."""
        del text, who, at, because, before
        raise NotFound("there is no place for a policy file")

    def acts(self, page: int | None = None) -> Bookmark:
        """Nobody did anything."""
        return Bookmark(PLACE if page is None else f"{PLACE}/{page}")

    def save_acts(self, acts: Bookmark) -> Bookmark:
        """Refuse it."""
        raise NotFound(f"there is no place for {acts.name}")

    def close(self) -> None:
        """Do nothing."""


class NoReceivers:
    """A Receivers that reaches nobody."""

    def tell(self, to: Destination, title: str, text: str) -> None:
        """Refuse it."""
        del title, text
        raise NotFound(f"{to.name} cannot be reached from here")

    def send(self, to: Destination, body: bytes) -> None:
        """Refuse it."""
        del body
        raise NotFound(f"{to.name} cannot be reached from here")

    def close(self) -> None:
        """Do nothing."""
