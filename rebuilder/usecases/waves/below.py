"""Which tasks stand on what a task pushes, and on what those push."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.dependencies.graph import BuiltTask
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.errors import InvalidReference
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

_MOST = 500
"""So many repositories are looked up at most; who stands on more is in no cycle worth a wait."""


def below(context: Context, task: TaskId) -> dict[TaskId, IndexedTask]:
    """Return a task, and those that stand on what it pushes, directly or over others.

    Asks for those who stand on a repository once for each that is pushed on the way; most tasks
    push one that nobody stands on.

    Returns:
        Nothing if the index does not know the task.

    Raises:
        TransientError: The index cannot be read.
    """
    indexed = context.index.view(task)
    found: dict[TaskId, IndexedTask] = {} if indexed is None else {task: indexed}
    asked: set[str] = set()
    ahead = list(found.values())
    while ahead and len(asked) < _MOST:
        for repository in _pushed(context, ahead.pop()):
            if repository in asked:
                continue
            asked.add(repository)
            for other in context.index.dependents(repository):
                if other.view.task not in found:
                    found[other.view.task] = other
                    ahead.append(other)
    return found


def _pushed(context: Context, indexed: IndexedTask) -> Iterator[str]:
    """Return the repositories that a task pushes to, as far as their names have no templates."""
    view = indexed.view
    if view.output is None:
        return
    host = context.host(view.task.registry)
    for image in BuiltTask(view.task, host, (), view.output.pushes).images():
        try:
            yield ImageReference.parse(image).repository
        except InvalidReference:
            log.debug("task %s: who stands on %s is not known", view.task, image)
