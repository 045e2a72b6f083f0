"""When each task of a wave would begin, where so many places are given out by priority."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import count

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.lines.line import AGING, Limits
from rebuilder.core.waves.forecast import Planned

_AGING = AGING / timedelta(minutes=1)


def begins(tasks: Sequence[Planned], limits: Limits) -> dict[TaskId, float]:
    """Return after how many minutes each task would begin, if places were all that it waits for.

    A task whose minutes are not known takes none here, so that it may well be later, and not
    sooner. Places are free at first.

    Args:
        tasks: The tasks, each after those that it comes after.
        limits: How many places each room has.
    """
    play = _Play(limits)
    below = dict[TaskId, list[Planned]]()
    left = Counter[TaskId]()
    for task in tasks:
        above = [other for other in task.upstream if other in left]
        left[task.task] = len(above)
        for other in above:
            below.setdefault(other, []).append(task)
    play.wait([task for task in tasks if not left[task.task]])
    while play.under_way:
        reached = [other for task in play.ended() for other in below.get(task.task, ())]
        left.subtract(other.task for other in reached)
        ready = {other.task: other for other in reached if not left[other.task]}
        play.wait(ready.values())
    return play.began


class _Play:
    """What is under way, and what waits: those that need the same places in a line of their own."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._used = Counter[str]()
        self._lines = dict[tuple[str, ...], list[tuple[float, int, Planned]]]()
        self._now = 0.0
        self._number = count()
        self.under_way: list[tuple[float, int, Planned]] = []
        self.began = dict[TaskId, float]()

    def wait(self, tasks: Iterable[Planned]) -> None:
        """Have tasks wait from now on, and begin what may begin."""
        for task in tasks:
            rank = self._now - task.priority * _AGING
            line = self._lines.setdefault(task.rooms, [])
            heapq.heappush(line, (rank, next(self._number), task))
        while free := [
            rooms for rooms, line in self._lines.items() if line and self._is_free(rooms)
        ]:
            rooms = min(free, key=lambda rooms: self._lines[rooms][0][:2])
            _, _, task = heapq.heappop(self._lines[rooms])
            self._used.update(rooms)
            self.began[task.task] = self._now
            end = self._now + (task.minutes or 0)
            heapq.heappush(self.under_way, (end, next(self._number), task))

    def ended(self) -> list[Planned]:
        """Let time pass until something ends; return all that ends then."""
        self._now, over = self.under_way[0][0], list[Planned]()
        while self.under_way and self.under_way[0][0] <= self._now:
            over.append(heapq.heappop(self.under_way)[2])
            self._used.subtract(over[-1].rooms)
        return over

    def _is_free(self, rooms: tuple[str, ...]) -> bool:
        return all(self._used[room] < self._limits[room] for room in rooms)
