"""Invocations that can be stopped, and killed, at any call of a port: one runs at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime


class Crash(BaseException):
    """The process is gone; nothing of the product catches it, as nothing catches SIGKILL."""


class Invocation:
    """One call of a function, in a thread of its own that runs only while it is resumed."""

    def __init__(self, name: str, work: Callable[[], None], began: datetime) -> None:
        self.name = name
        self.began = began
        self.dead = False
        self.paused_at = ""
        self.pauses = 0
        self.error: BaseException | None = None
        self._work = work
        self._go = threading.Event()
        self._back = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.over = False

    def _run(self) -> None:
        self._wait()
        try:
            if not self.dead:
                self._work()
        except BaseException as error:  # noqa: BLE001 - the host sees whatever it was
            self.error = error
        self.over = True
        self._back.set()

    def _wait(self) -> None:
        self._go.wait()
        self._go.clear()

    def resume(self) -> None:
        """Let it run until it is over or pauses."""
        self.paused_at = ""
        if not self._thread.ident:
            self._thread.start()
        self._go.set()
        self._back.wait()
        self._back.clear()
        if self.over:
            self._thread.join()

    def pause(self, where: str) -> None:
        """Called from inside: hand control back until somebody resumes it."""
        self.paused_at = where
        self.pauses += 1
        self._back.set()
        self._wait()
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
