"""Cloud time: the wall clock, optionally faster, so that an hour of retries fits in a test."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
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
        await asyncio.sleep(self.real(seconds))

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let `seconds` of cloud time pass in a thread, or fewer if an event is set; tell if so."""
        return event.wait(self.real(seconds))

    def alarm(self, seconds: float, ring: Callable[[], object]) -> Callable[[], None]:
        """Call `ring` on a thread of its own, `seconds` of cloud time from now.

        Returns:
            What calls it off; harmless when it has rung.
        """
        timer = threading.Timer(self.real(seconds), ring)
        timer.daemon = True
        timer.start()
        return timer.cancel

    def real(self, seconds: float) -> float:
        """Real seconds that `seconds` of cloud time take."""
        return max(0.0, seconds) / self.speed
