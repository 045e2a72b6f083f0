"""What could not be worked off, and what Event Grid could not deliver."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from msgspec import Struct

from rebuilder.core.events.dead_letters import DeadLetter
from rebuilder.ports.ledger import Retired


class DeadLetters(Protocol):
    """What could not be worked off, and why.

    Every method raises TransientError if the store cannot be reached.
    """

    def record_failure(self, queue: str, body: str, reason: str, at: datetime) -> None:
        """Remember why a message could not be worked off; the last reason counts."""

    def failure(self, queue: str, body: str) -> str | None:
        """Return the last reason why a message could not be worked off."""

    def record(self, letter: DeadLetter) -> None:
        """Keep a dead letter; one that is known, and was not replayed since, stays as it is."""

    def all(self) -> list[DeadLetter]:
        """Return every dead letter, oldest first."""

    def waiting(self) -> list[DeadLetter]:
        """Return the dead letters that nobody has replayed, oldest first."""

    def letter(self, letter_id: str) -> DeadLetter | None:
        """Return one dead letter."""

    def mark_replayed(self, letter_id: str, at: datetime) -> None:
        """Remember that a dead letter was replayed; nothing happens if it is not known."""

    def remove(self, letter_id: str) -> None:
        """Forget a dead letter for good; nothing happens if it is not known."""

    def retire(self, before: datetime, place: str) -> Retired:
        """Forget some of what failed or was replayed before a time; see `Ledger.retire`."""

    def close(self) -> None:
        """Close the connections."""


class DeadEvents(Struct, frozen=True):
    """A blob of events that Event Grid could not deliver.

    Attributes:
        name: The blob's name.
        content: Its bytes: a JSON array of events, each with why it is there.
    """

    name: str
    content: bytes


class DeadEventStore(Protocol):
    """Where Event Grid puts what it could not deliver."""

    def read(self) -> list[DeadEvents]:
        """Return some of the blobs; none if there is no such place.

        Raises:
            TransientError, Denied: The store could not be read.
        """

    def forget(self, name: str) -> None:
        """Delete a blob; nothing happens if it is gone.

        Raises:
            TransientError, Denied: The store could not be reached.
        """

    def close(self) -> None:
        """Close the connections."""
