"""Registries that send no events."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference


class Seen(Struct, frozen=True):
    """What a foreign registry answered about a tag.

    Attributes:
        digest: What the tag names; None if there is no such tag.
        etag: What to show the registry next time, so that it need not answer in full; "" if it
            gave nothing.
        wait: How long the registry asks not to be asked again; zero if it does not.
    """

    digest: str | None
    etag: str = ""
    wait: timedelta = timedelta()


class ForeignRegistries(Protocol):
    """Public and other registries that send no events, by the OCI distribution protocol."""

    def look(self, reference: ImageReference, known: Seen | None) -> Seen:
        """Return what a tag names now, without pulling anything.

        Args:
            reference: The tag.
            known: What was seen last, if anything: the answer may be that it is still so.

        Raises:
            Throttled: The registry asks to wait; with how long.
            TransientError: It did not answer.
            Denied: It wants credentials, or refuses those that it was shown.
            Refused: The host may not be asked, or does not speak the protocol.
        """

    def close(self) -> None:
        """Close the connections."""
