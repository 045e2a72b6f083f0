"""A time by which everything has ended."""

from __future__ import annotations

import contextvars
import logging
import socket
import threading
import time
from typing import Self

from rebuilder.errors import TransientError

log = logging.getLogger(__name__)


class Deadline:
    """A time by which everything has ended.

    A timeout of a socket starts again with every byte, so a server that sends one now and then
    holds a client as long as it likes. When the time is over, the connections in use are cut.

    Args:
        seconds: The time.
        what: What it is for, for the message.
    """

    def __init__(self, seconds: float, what: str) -> None:
        self._seconds = seconds
        self._what = what
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._handles: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self._token: contextvars.Token[Deadline | None] | None = None

    def __enter__(self) -> Self:
        self._token = current.set(self)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._token is not None:
            current.reset(self._token)
        with self._lock:
            for handle in self._handles:
                handle.close()
            self._handles.clear()

    def remaining(self) -> float:
        """Return the seconds that are left.

        Raises:
            TransientError: There are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TransientError(f"{self._what} took longer than {self._seconds:g} seconds")
        return left

    def watch(self, connection: socket.socket) -> None:
        """Cut a connection when the time is over."""
        # A handle of its own: an answer may outlive the connection object that it came by.
        handle = connection.dup()
        with self._lock:
            self._handles.append(handle)

    def _expire(self) -> None:
        with self._lock:
            for handle in self._handles:
                _cut(handle)


current: contextvars.ContextVar[Deadline | None] = contextvars.ContextVar("deadline", default=None)


def _cut(handle: socket.socket) -> None:
    try:
        handle.shutdown(socket.SHUT_RDWR)
    except OSError:
        log.debug("a connection was closed before its time was over")
