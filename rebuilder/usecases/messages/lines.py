"""The lines to receivers, as an instance knows them: one that is down is asked now and then.

A receiver that is slow or out of order must not keep an instance from its other work: few messages
are under way to it at a time, and none while it is left alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from rebuilder.core.times import Clock
from rebuilder.errors import Throttled, TransientError

AT_ONCE = 2
"""How many messages of an instance are under way to a receiver."""

_FULL = timedelta(seconds=10)
_FIRST, _LONGEST = timedelta(seconds=5), timedelta(minutes=10)
_DOUBLINGS = 7


class _Line:
    """What is known of a receiver."""

    def __init__(self) -> None:
        self.under_way = 0
        self.failures = 0
        self.until: datetime | None = None


class Lines:
    """The lines to all receivers; many threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}

    @contextmanager
    def turn(self, name: str, clock: Clock) -> Iterator[None]:
        """Send something in the block, if it may be sent now.

        Args:
            name: The receiver.
            clock: The time.

        Raises:
            Throttled: It is left alone, or enough is under way to it.
        """
        now = clock()
        with self._lock:
            line = self._lines.setdefault(name, _Line())
            if line.until is not None and now < line.until <= now + _LONGEST:
                raise Throttled(f"{name} did not take the last one", line.until - now)
            if line.under_way >= AT_ONCE:
                raise Throttled(f"{name} has not answered yet", _FULL)
            line.under_way += 1
        failure: TransientError | None = None
        try:
            yield
        except TransientError as error:
            failure = error
            raise
        finally:
            with self._lock:
                line.under_way -= 1
                self._note(line, failure, clock())

    def _note(self, line: _Line, failure: TransientError | None, now: datetime) -> None:
        if failure is None:
            line.failures, line.until = 0, None
            return
        wait = min(_FIRST * 2 ** min(line.failures, _DOUBLINGS), _LONGEST)
        if isinstance(failure, Throttled) and failure.retry_after is not None:
            wait = min(failure.retry_after, _LONGEST)
        line.failures += 1
        line.until = now + wait
