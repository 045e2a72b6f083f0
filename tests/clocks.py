"""A clock that only a test moves."""

from __future__ import annotations

import asyncio

from localcloud.clock import Clock


class StoppedClock(Clock):
    """Cloud time that stands until `forward` is called."""

    def __init__(self) -> None:
        super().__init__()
        self._elapsed = 0.0

    def forward(self, seconds: float) -> None:
        """Let cloud time pass at once."""
        self._elapsed += seconds

    def elapsed(self) -> float:
        """Cloud seconds that the test let pass."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has let so much time pass."""
        end = self._elapsed + seconds
        while self._elapsed < end:  # noqa: ASYNC110 - other threads move the clock
            await asyncio.sleep(0.002)
