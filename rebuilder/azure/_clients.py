"""Clients of Azure's SDKs, of which many threads make and share one per place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

TIMEOUTS: dict[str, Any] = {"connection_timeout": 10, "read_timeout": 60}
"""For the SDK's clients: well below the lease of a claim, so that whoever waits still holds it."""


class Closing(Protocol):
    """What holds connections."""

    def close(self) -> None:
        """Close them."""


class Clients[Client: Closing]:
    """One client per name, made when it is first asked for.

    Args:
        make: Makes the client of a name.
    """

    def __init__(self, make: Callable[[str], Client]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: dict[str, Client] = {}

    def __getitem__(self, name: str) -> Client:
        # A dictionary alone would have two threads make two, of which one is never closed.
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def close(self) -> None:
        """Close every client."""
        with self._lock:
            for client in self._made.values():
                client.close()
            self._made.clear()
