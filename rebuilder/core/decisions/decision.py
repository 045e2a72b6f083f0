"""What a decision is."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from rebuilder.core.acr.registries import TaskId

ACR_RECORD = "ACR's record"


class Decision(Struct, frozen=True):
    """What was decided after one push. Each reason is a subclass."""

    rebuild: ClassVar[bool] = False
    code: ClassVar[str]
    template: ClassVar[str] = ""
    """The reason for a person; fields of `self` are its evidence."""

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return self.template.format(self=self)


class TaskDecision(Decision, frozen=True):
    """What was decided for one task.

    Attributes:
        task: The task.
    """

    task: TaskId
