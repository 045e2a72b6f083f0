"""Cloud time: the wall clock, optionally faster, so that an hour of retries fits in a test."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Cloud time that starts now and runs `speed` times as fast as the wall clock.

    Args:
        speed: Cloud seconds per real second; above 0.
    """

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self.speed = speed
        self._wall = datetime.now(UTC)
        self._started = time.monotonic()

    def elapsed(self) -> float:
        """Cloud seconds since the clock was made."""
        return (time.monotonic() - self._started) * self.speed

    def now(self) -> datetime:
        """Cloud time, in UTC."""
        return self._wall + timedelta(seconds=self.elapsed())

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` of cloud time pass."""
        await asyncio.sleep(max(0.0, seconds) / self.speed)

    def real(self, seconds: float) -> float:
        """Real seconds that `seconds` of cloud time take, for time-outs of threads."""
        return max(0.0, seconds) / self.speed
