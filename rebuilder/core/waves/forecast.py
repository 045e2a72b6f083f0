"""What a push would lead to: each task with its reason, what would hold it, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.lines.rooms import PRIORITY
from rebuilder.core.policies.reason import Reason


class Planned(Struct, frozen=True):
    """A task that would be rebuilt.

    Attributes:
        task: The task.
        layer: Which layer it is in, from 0.
        reason: Why it would be, for a person.
        moved: The images that would move for it.
        upstream: The tasks that it would come after directly.
        holds: What would hold it now.
        until: When all of that is over; None if nothing would hold it, or somebody has to end it.
        minutes: How long its last run took; None if that is not known.
        rooms: The rooms that it needs a place in, all at once.
        priority: How soon it gets one.
    """

    task: TaskId
    layer: int
    reason: str
    moved: tuple[str, ...]
    upstream: tuple[TaskId, ...] = ()
    holds: tuple[Reason, ...] = ()
    until: datetime | None = None
    minutes: float | None = None
    rooms: tuple[str, ...] = ()
    priority: int = PRIORITY


class Forecast(Struct, frozen=True):
    """What a push would lead to.

    Attributes:
        image: The tag.
        digest: What it would name; "" for a push that was not made.
        tasks: The tasks that would be rebuilt, layer by layer.
        left: Why others that read an image which moves would be left.
        cycles: The cycles among the tasks, each in its order.
        unknown: What cannot be known, in sentences.
        limits: How many places there are in each room that one of the tasks needs a place in.
    """

    image: str
    digest: str
    tasks: tuple[Planned, ...]
    left: Mapping[TaskId, str]
    cycles: tuple[tuple[TaskId, ...], ...]
    unknown: tuple[str, ...]
    limits: Mapping[str, int] = {}

    @property
    def depth(self) -> int:
        """How many layers there are."""
        return 1 + max((task.layer for task in self.tasks), default=-1)

    @property
    def minutes(self) -> float:
        """How long the runs take together, as far as that is known."""
        return sum(task.minutes or 0 for task in self.tasks)

    def cost(self, cpus: float, price: float) -> float:
        """Return what the runs cost.

        Args:
            cpus: How many CPUs an agent has.
            price: Of a CPU, for a minute.
        """
        return self.minutes * cpus * price

    def critical_path(self) -> tuple[tuple[Planned, ...], float]:
        """Return the tasks that come after each other for longest, and how many minutes that is."""
        return critical_path(self.tasks)


def critical_path(tasks: Sequence[Planned]) -> tuple[tuple[Planned, ...], float]:
    """Return the chain of tasks that takes longest, with its minutes; the longest one of several.

    Args:
        tasks: The tasks, each after those that it comes after.
    """
    known: dict[TaskId, Planned] = {}
    ends: dict[TaskId, tuple[float, int]] = {}
    before: dict[TaskId, TaskId | None] = {}
    for task in tasks:
        latest = max((t for t in task.upstream if t in ends), key=lambda t: ends[t], default=None)
        minutes, length = (0.0, 0) if latest is None else ends[latest]
        ends[task.task] = (minutes + (task.minutes or 0), length + 1)
        before[task.task], known[task.task] = latest, task
    last = max(ends, key=lambda t: ends[t], default=None)
    if last is None:
        return (), 0.0
    path, at = [], last
    following: TaskId | None = at
    while following is not None:
        path.append(known[following])
        following = before[following]
    return tuple(path[::-1]), ends[last][0]
