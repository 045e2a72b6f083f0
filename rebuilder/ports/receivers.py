"""Who is told: people, and machines."""

from __future__ import annotations

from typing import Protocol

from rebuilder.core.messages.destinations import Destination


class Receivers(Protocol):
    """What reaches those whom messages go to; no error and no log names an address.

    Every method raises Throttled, another TransientError, or Refused if it is not taken and would
    not be the next time.
    """

    def tell(self, to: Destination, title: str, text: str) -> None:
        """Tell people something."""

    def send(self, to: Destination, body: bytes) -> None:
        """Send a machine a CloudEvent, as JSON."""

    def close(self) -> None:
        """Close the connections."""
