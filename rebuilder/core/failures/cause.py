"""What a cause is.

A cause says whether another run may succeed although nobody fixes anything; one that cannot heal
by itself is not tried again.
"""

from __future__ import annotations

from typing import ClassVar

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.sentences import Explained


class Cause(Explained, frozen=True):
    """Why a run failed. Each cause is a subclass.

    Attributes:
        line: The line of the log that tells; "" if there is none.
    """

    may_heal: ClassVar[bool] = False
    line: str

    @property
    def heals(self) -> bool:
        """Whether another run may succeed although nobody fixes anything."""
        return self.may_heal

    def advice(self, task: TaskId) -> str | None:
        """What would fix it; None if that is not known, or time does."""
        del task
        return None


def then_retry(task: TaskId) -> str:
    """Return what to do once it is fixed."""
    return f"then `rebuilder retry {task.short}`"
