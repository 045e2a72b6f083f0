"""Clocks that only tests move."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from localcloud.clock import Clock


class StoppedClock(Clock):
    """Cloud time that stands until `forward` is called."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._elapsed = 0.0
        self._alarms: list[tuple[float, Callable[[], object]]] = []

    def forward(self, seconds: float) -> None:
        """Let cloud time pass at once; alarms that are due then ring on this thread."""
        with self._lock:
            self._elapsed += seconds
            due = [alarm for alarm in self._alarms if alarm[0] <= self._elapsed]
            self._alarms = [alarm for alarm in self._alarms if alarm not in due]
        for _, ring in due:
            ring()

    @property
    def waiting(self) -> int:
        """How many wait for their time; a test that moves the clock waits for them before."""
        return len(self._alarms)

    def elapsed(self) -> float:
        """Cloud seconds that the test let pass."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has let so much time pass."""
        loop, passed = asyncio.get_running_loop(), asyncio.Event()
        call_off = self.alarm(seconds, lambda: loop.call_soon_threadsafe(passed.set))
        try:
            await passed.wait()
        finally:
            call_off()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the test has let so much time pass, or an event is set; tell if so."""
        passed = threading.Event()
        call_off = self.alarm(seconds, passed.set)
        try:
            # Whoever sets the event does not tell this clock.
            while not event.wait(0.005):
                if passed.is_set():
                    break
        finally:
            call_off()
        return event.is_set()

    def alarm(self, seconds: float, ring: Callable[[], object]) -> Callable[[], None]:
        """Call `ring` when the test has let so much time pass; return what calls it off."""
        with self._lock:
            alarm = (self._elapsed + seconds, ring)
            if seconds > 0:
                self._alarms.append(alarm)

        def call_off() -> None:
            with self._lock:
                self._alarms = [other for other in self._alarms if other is not alarm]

        if seconds <= 0:
            ring()
        return call_off


class LeapingClock(StoppedClock):
    """Cloud time that passes only where somebody waits, and at once.

    Attributes:
        waits: For how long everybody has waited, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self._leap(seconds)
        await asyncio.sleep(0)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let time pass at once, unless an event is set; tell if so."""
        if not event.is_set():
            self._leap(seconds)
        return event.is_set()

    def _leap(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.forward(max(0.0, seconds))
