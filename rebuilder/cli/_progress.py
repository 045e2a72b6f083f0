"""What takes longer than a second is seen to go on: on a terminal, beside the answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

AFTER = 1.0
"""Seconds after which it is shown."""


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show what is being done, and for how long, while the block takes.

    Nothing is printed in the block; when it is left, nothing is seen of this any more.

    Args:
        what: What is being done; a text of the product's own.
    """
    if not sys.stderr.isatty():
        yield
        return
    line = _Line(what)
    timer = Timer(AFTER, line.show)
    timer.daemon = True  # it may be importing when the command is over
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        line.remove()


class _Line:
    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = Lock()
        self._progress: Progress | None = None
        self._over = False

    def show(self) -> None:
        # Takes a tenth of a second, which whatever is over before need not spend.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        with self._lock:
            if self._over:
                return
            self._progress = Progress(
                SpinnerColumn("line"),  # of ASCII
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.add_task(self._what, total=None)
            self._progress.start()

    def remove(self) -> None:
        with self._lock:
            self._over = True
            if self._progress is not None:
                self._progress.stop()
