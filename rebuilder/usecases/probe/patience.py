"""Waiting for what is to come, in pieces that a person can see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from rebuilder.core.times import Clock
from rebuilder.errors import RebuilderError

_FIRST, _LONGEST, _PAUSE = 1.0, 5.0, 30.0  # seconds


class Patience:
    """How long a probe waits in all.

    Args:
        now: The clock.
        wait: Waits for so many seconds.
        minutes: How long at most.

    Attributes:
        problem: Why the last look told nothing; "" if it did.
    """

    def __init__(self, now: Clock, wait: Callable[[float], object], minutes: float) -> None:
        self._now = now
        self._wait = wait
        self._end: datetime = now() + timedelta(minutes=minutes)
        self.problem = ""

    def until[T](self, look: Callable[[], T | None]) -> T | None:
        """Look until there is something; None if the time is over before.

        What a look raises is kept as the problem, and the next one may do better.
        """
        pause = _FIRST
        while True:
            found = None
            try:
                found = look()
                self.problem = ""
            except RebuilderError as error:
                self.problem = str(error)
            left = (self._end - self._now()).total_seconds()
            if found is not None or left <= 0:
                return found
            self._wait(min(pause, left))
            pause = min(pause * 2, _LONGEST)

    def pause(self) -> None:
        """Let half a minute pass, or what is left."""
        left = (self._end - self._now()).total_seconds()
        self._wait(max(0.0, min(_PAUSE, left)))

    @property
    def over(self) -> bool:
        """Whether there is no more time."""
        return self._now() >= self._end
