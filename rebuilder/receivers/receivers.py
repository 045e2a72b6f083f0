"""Reach whoever a destination is; what each needs is imported when something is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rebuilder.core.messages.destinations import Destination
from rebuilder.receivers.machines import Machines


class Reached:
    """A Receivers; see rebuilder.ports.receivers.

    Args:
        private: Hosts whose addresses may be private.
        token: Gives the identity's token for an audience.
        machines: Sends events; made of the others if left out.
    """

    def __init__(
        self,
        private: Sequence[str],
        token: Callable[[str], str],
        machines: Machines | None = None,
    ) -> None:
        self._private = private
        self._machines = machines or Machines(private, token)

    def close(self) -> None:
        """Close the connections."""
        self._machines.close()

    def tell(self, to: Destination, title: str, text: str) -> None:
        """Tell people something; see Receivers."""
        # Most set-ups tell nobody, and Apprise takes half a second.
        from rebuilder.receivers.people import tell  # noqa: PLC0415

        tell(to, title, text, self._private)

    def send(self, to: Destination, body: bytes) -> None:
        """Send a machine an event; see Receivers."""
        self._machines.send(to, body)
