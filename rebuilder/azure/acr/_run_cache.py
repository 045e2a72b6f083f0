"""Many looks at runs, few requests: one list answers for every run on it, for a few seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from rebuilder.core.acr.tasks import Run

FRESH_SECONDS = 5.0
"""How old an answer may be: well below the time between two looks at a run."""

_WORTH = 2  # looks that a list did not answer, until a further page is asked for
_MOST_PAGES = 20


class RunCache:
    """What is known of the newest runs of one registry.

    A single run that is followed is read by itself, at the caller's. Where several are, pages of
    the list are read, newest runs first, one for every few looks that it did not answer so far;
    so there are never many more requests than there are looks, and usually far fewer.

    Args:
        pages: Begins the list of the registry's runs, newest first.
        clock: Seconds that only grow.
    """

    def __init__(
        self, pages: Callable[[], Iterator[Sequence[Run]]], clock: Callable[[], float]
    ) -> None:
        self._begin = pages
        self._clock = clock
        self._lock = threading.Lock()
        self._since = float("-inf")
        self._known: dict[str, Run] = {}
        self._pages: Iterator[Sequence[Run]] | None = None
        self._read = 0
        self._missed = 0

    def get(self, run_id: str) -> Run | None:
        """Return a run as it was a few seconds ago at most; None if the caller is to read it.

        Raises:
            RebuilderError: The list could not be read.
        """
        # Whoever looks while a page is read waits for it: it may be the answer.
        with self._lock:
            if self._clock() - self._since >= FRESH_SECONDS:
                self._since = self._clock()
                self._known, self._pages, self._read, self._missed = {}, None, 0, 0
            if run_id in self._known:
                return self._known[run_id]
            self._missed += 1
            if self._missed >= _WORTH and self._read < _MOST_PAGES:
                self._missed = 0
                self._next_page()
            return self._known.get(run_id)

    def _next_page(self) -> None:
        pages = self._pages or self._begin()
        # A list that fails half way begins again.
        self._pages = None
        page = next(pages, None)
        if page is None:
            self._read = _MOST_PAGES
            return
        self._pages = pages
        self._read += 1
        for run in page:
            # Runs that begin meanwhile shift the pages; what was seen first is newer.
            self._known.setdefault(run.run_id, run)
