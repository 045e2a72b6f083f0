"""Tell what ACR's own record misses or has wrong, task by task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rebuilder.core.gaps import Gap, find_gaps
from rebuilder.core.registries import RegistryId, TaskId
from rebuilder.usecases._evidence import look
from rebuilder.usecases.context import Context


@dataclass(frozen=True, slots=True)
class TaskGaps:
    """What ACR misses or has wrong of one task."""

    task: TaskId
    gaps: tuple[Gap, ...]


def list_gaps(context: Context, registry: RegistryId) -> Iterator[TaskGaps]:
    """Compare ACR's record of every task of a registry with what its build reads.

    Tasks that build nothing are left out.

    Raises:
        TransientError, Denied, NotFound: The tasks could not be read.
    """
    host = context.host(registry)
    for task in context.tasks.tasks(registry):
        if task.has_step:
            found = look(context, task)
            last_run = found.last_run.run_id if found.last_run is not None else None
            yield TaskGaps(task.id, find_gaps(task, found.files, host, last_run))
