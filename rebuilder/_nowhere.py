"""What stands in for a place that is not configured."""

from __future__ import annotations

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
