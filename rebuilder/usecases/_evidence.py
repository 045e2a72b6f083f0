"""Ask every source what a task is built on."""

from __future__ import annotations

from rebuilder.core.evidence import TaskView, join, recorded
from rebuilder.core.tasks import Task
from rebuilder.usecases.context import Context


def gather(context: Context, task: Task) -> TaskView:
    """Return what is known of a task's dependencies: ACR's record alone."""
    del context
    return join(task.id, [recorded(task)])
