"""What ACR's own record of a task misses or has wrong, and why: one small type per reason.

The types stand by what they are about: `record`, `dockerfile`, `trigger`. `compare` finds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from msgspec.structs import asdict

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.sentences import Explained


class Gap(Explained, frozen=True):
    """What ACR does not know of a task, or does not do. Each reason is a subclass.

    Attributes:
        task: The task.
    """

    counts: ClassVar[bool] = True
    """Whether it is something that ACR misses or has wrong; else it is a remark."""
    task: TaskId


class NotCompared(Gap, frozen=True):
    """The build file could not be read, so the record was compared with nothing.

    Attributes:
        problem: Why.
    """

    code = "not-compared"
    counts = False
    template = "not compared with the build file: {self.problem}"
    problem: str


class NotKnown(Gap, frozen=True):
    """An image that the file alone does not tell.

    Attributes:
        text: What stands in the file, with its place.
        reason: What would have to be known.
    """

    code = "not-known"
    counts = False
    template = "not compared: {self.text}: {self.reason}"
    text: str
    reason: str


def to_record(gap: Gap) -> dict[str, Any]:
    """The gap as JSON values: code, sentence, and every field of its type but the task."""
    values = {name: value for name, value in asdict(gap).items() if name != "task"}
    return {"code": gap.code, "counts": gap.counts, "sentence": gap.sentence(), **values}


def counted(gaps: Iterable[Gap]) -> int:
    """How many gaps are more than remarks."""
    return sum(gap.counts for gap in gaps)


def not_compared(gaps: Iterable[Gap]) -> bool:
    """Whether there may be more gaps than were found."""
    return any(isinstance(gap, NotCompared | NotKnown) for gap in gaps)
