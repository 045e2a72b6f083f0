"""Tell what ACR's own record misses or has wrong, task by task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rebuilder.core.gaps import BuildFiles, Gap, find_gaps
from rebuilder.core.registries import RegistryId, TaskId
from rebuilder.usecases._evidence import look_at_all
from rebuilder.usecases.context import Context


@dataclass(frozen=True, slots=True)
class TaskGaps:
    """What ACR misses or has wrong of one task."""

    task: TaskId
    gaps: tuple[Gap, ...]


def list_gaps(context: Context, registry: RegistryId) -> Iterator[TaskGaps]:
    """Compare ACR's record of every task of a registry with what its build reads.

    System tasks, which have no step, are left out.

    Raises:
        TransientError, Denied, NotFound: The tasks could not be read.
    """
    host = context.host(registry)
    tasks = [task for task in context.tasks.tasks(registry) if task.has_step]
    for found in look_at_all(context, tasks):
        last_run = found.last_run.run_id if found.last_run is not None else None
        files = BuildFiles(found.effects, found.name, found.problem, found.gone)
        gaps = find_gaps(found.task, files, host, last_run)
        yield TaskGaps(found.task.id, gaps)
