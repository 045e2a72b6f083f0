"""Many reads of tasks, few requests: one list of a registry answers for a few seconds."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from copy import replace
from datetime import timedelta

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Task
from rebuilder.errors import RebuilderError
from rebuilder.ports.acr import LATELY, TaskPage

log = logging.getLogger(__name__)

FRESH_SECONDS = LATELY.total_seconds()
"""How old an answer may be, and the time in which reads are counted."""

WORTH = 3
"""Reads in that time for each page, until a registry is listed: a list that nobody asks again makes
a third more requests of them, one that is asked for its whole time saves most."""

MOST_PAGES = 20
REST_SECONDS = 600.0

_GUESS = 2  # pages of a registry that was never listed
_HURRY_SECONDS = FRESH_SECONDS / 2  # others wait for the list, and it gets old


class TaskCache:
    """What a list told of the tasks of one registry, a few seconds ago at most.

    A task that is read alone is read by itself, at the caller's, and so are a few. Where many are,
    the whole registry is listed, if that takes far fewer pages than there were reads. How many it
    takes, the list before told; until there was one, pages are read as long as that can still be.

    Args:
        page: Reads the page of tasks after a place; "" gives the first one.
        clock: Seconds that only grow.
    """

    def __init__(self, page: Callable[[str], TaskPage], clock: Callable[[], float]) -> None:
        self._page = page
        self._clock = clock
        self._lock = threading.Lock()
        self._reads: deque[float] = deque()
        self._known: dict[TaskId, tuple[Task, float]] = {}
        self._listed = float("-inf")
        self._rests_until = float("-inf")
        self._pages = _GUESS

    def get(self, task: TaskId, age: timedelta) -> Task | None:
        """Return a task as a list told of it; None if the caller is to read it.

        Args:
            task: The task.
            age: How long ago its page was asked for, at most.
        """
        self._reads.append(self._clock())
        # Whoever comes while the list is read waits for it: it may be the answer.
        with self._lock:
            now = self._clock()
            while self._reads and now - self._reads[0] >= FRESH_SECONDS:
                self._reads.popleft()
            if now - self._listed >= FRESH_SECONDS:
                self._known = {}
                if self._worth(self._pages) and now >= self._rests_until:
                    self._list(now)
            if task not in self._known:
                return None
            found, began = self._known[task]
            old = timedelta(seconds=self._clock() - began)
            return replace(found, age=old) if old <= age else None

    def _worth(self, pages: int) -> bool:
        return len(self._reads) >= WORTH * pages

    def _list(self, began: float) -> None:
        self._listed = began
        after: str | None = ""
        read = 0
        while after is not None:
            late = self._clock() - began >= _HURRY_SECONDS
            if read == MOST_PAGES or late or not self._worth(read + 1):
                # What was read is good; the next list needs twice as many reads, or more.
                self._pages = 2 * max(read, 1)
                return
            asked = self._clock()
            try:
                page = self._page(after)
            except RebuilderError as error:
                log.info("tasks are read one by one: %s", error)
                self._rests_until = asked + REST_SECONDS
                return
            read += 1
            self._known |= {task.id: (task, asked) for task in page.tasks}
            if page.brief and not page.tasks:
                # This list does not tell what tasks are built on.
                self._rests_until = asked + REST_SECONDS
                return
            after = page.after
        self._pages = max(read, 1)
