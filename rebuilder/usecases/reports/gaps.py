"""Tell what ACR's own record misses or has wrong, task by task."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from msgspec import Struct

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.gaps.compare import BuildFiles, find_gaps
from rebuilder.core.gaps.gap import Gap, NotCompared
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempt
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.gather import Look, look_at_all


class TaskGaps(Struct, frozen=True):
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
        gaps = attempt(partial(_compared, host), found)
        if isinstance(gaps, RebuilderError):
            gaps = (NotCompared(found.task.id, str(gaps)),)
        yield TaskGaps(found.task.id, gaps)


def _compared(host: str, found: Look) -> tuple[Gap, ...]:
    last_run = found.last_run.run_id if found.last_run is not None else None
    files = BuildFiles(found.effects, found.name, found.problem, found.gone)
    return find_gaps(found.task, files, host, last_run)
