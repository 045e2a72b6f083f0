"""What a decision is."""

from __future__ import annotations

from typing import ClassVar

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.sentences import Explained

ACR_RECORD = "ACR's record"


class Decision(Explained, frozen=True):
    """What was decided after one push. Each reason is a subclass."""

    rebuild: ClassVar[bool] = False


class TaskDecision(Decision, frozen=True):
    """What was decided for one task.

    Attributes:
        task: The task.
    """

    task: TaskId
