"""Invocations that can be stopped, and killed, at any call of a port: one runs at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from greenlet import getcurrent, greenlet


class Crash(BaseException):
    """The process is gone; nothing of the product catches it, as nothing catches SIGKILL."""


class Invocation:
    """One call of a function, which runs only while it is resumed.

    It is a greenlet: a thread that waits for its turn cost a third of all time.
    """

    def __init__(self, name: str, work: Callable[[], None], began: datetime) -> None:
        self.name = name
        self.began = began
        self.dead = False
        self.paused_at = ""
        self.pauses = 0
        self.error: BaseException | None = None
        self.over = False
        self._work = work
        self._stack = greenlet(self._run)

    def _run(self) -> None:
        try:
            if not self.dead:
                self._work()
        except BaseException as error:  # noqa: BLE001 - the host sees whatever it was
            self.error = error
        self.over = True

    def resume(self) -> None:
        """Let it run until it is over or pauses."""
        self.paused_at = ""
        self._stack.parent = getcurrent()
        self._stack.switch()

    def pause(self, where: str) -> None:
        """Called from inside: hand control back until somebody resumes it."""
        self.paused_at = where
        self.pauses += 1
        parent = self._stack.parent
        assert parent is not None
        parent.switch()
        self.check()

    def kill(self) -> None:
        """Kill it where it is; what it still would do has no effect."""
        self.dead = True
        if not self.over:
            self.resume()

    def check(self) -> None:
        """Called from inside: a dead process does nothing more."""
        if self.dead:
            raise Crash(self.name)
