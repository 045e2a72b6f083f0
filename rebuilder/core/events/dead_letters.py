"""What could not be worked off: kept with its reason until somebody replays it."""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

LONGEST_REASON = 4000
"""How many characters of a reason are kept."""


class Origin(StrEnum):
    """Where a dead letter comes from."""

    QUEUE = "queue"  # a message that its function could not work off
    EVENT = "event"  # an event that Event Grid could not deliver


class DeadLetter(Struct, frozen=True):
    """A message or an event that was given up.

    Attributes:
        origin: Where it comes from.
        source: The queue, or the event's topic.
        body: The message as it was sent, or the event as JSON.
        reason: Why it was given up, for a person.
        at: When it was given up, as far as known.
        replayed_at: When it was replayed last; None if it never was.
    """

    origin: Origin
    source: str
    body: str
    reason: str
    at: datetime
    replayed_at: datetime | None = None

    @property
    def id(self) -> str:
        """Names it; the same body from the same source is the same dead letter."""
        parts = (self.origin.value, self.source.lower(), self.body)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
