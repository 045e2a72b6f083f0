"""What is known of tasks by now: ACR's record as ARM tells it now, and what the index has read."""

from __future__ import annotations

from collections.abc import Iterator
from copy import replace
from functools import partial

from msgspec import Struct, field

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Task
from rebuilder.core.dependencies.evidence import TaskView
from rebuilder.core.dependencies.index import unread, with_view
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempt
from rebuilder.usecases.context import Context

_PAGES = 100
"""How many pages of a registry's tasks ARM is asked for; of the rest the index alone tells."""

_NOT_READ = "its build files have not been read yet"


def known_now(context: Context, registry: RegistryId) -> tuple[Iterator[Task], str]:
    """Return every task of a registry with all that is known of it, for a person who asks.

    The tasks are listed: this is for commands, and not for what a message leads to. A task that
    was made, or run, since it was last read for the index is there with ACR's record of it, and
    as one that may read more.

    Returns:
        The tasks, and why ARM did not list them; "" if it did. Where it did not, they are as the
        index knows them.
    """
    listed = attempt(partial(_listed, context), registry)
    if isinstance(listed, RebuilderError):
        return _known(context, registry, _Listed(whole=False)), str(listed)
    return _known(context, registry, listed), ""


def unindexed(task: Task) -> Task:
    """Return a task that the index has never read as one that may read more."""
    return replace(task, unread=_NOT_READ) if task.has_step else task


class _Listed(Struct):
    """The tasks of a registry, as ARM lists them now.

    Attributes:
        tasks: Those that are listed with ACR's record of them.
        brief: Those that are listed without.
        whole: Whether that is all of them.
    """

    tasks: dict[TaskId, Task] = field(default_factory=dict)
    brief: set[TaskId] = field(default_factory=set)
    whole: bool = True


def _listed(context: Context, registry: RegistryId) -> _Listed:
    found, after = _Listed(), ""
    for _ in range(_PAGES):
        page = context.tasks.page(registry, after)
        found.tasks |= {task.id: task for task in page.tasks}
        found.brief |= set(page.brief)
        if page.after is None:
            return found
        after = page.after
    found.whole = False
    return found


def _known(context: Context, registry: RegistryId, listed: _Listed) -> Iterator[Task]:
    """Yield the tasks of a registry with all that is known of them: ACR's record is of now.

    What the index has never read may read more than ACR has recorded.
    """
    indexed: set[TaskId] = set()
    for view in (known.view for known in context.index.views(registry)):
        indexed.add(view.task)
        if view.task in listed.tasks:
            yield with_view(listed.tasks[view.task], view)
        elif view.task in listed.brief or not listed.whole:
            yield unread(view)
    for task_id in sorted(listed.tasks.keys() - indexed):
        yield unindexed(listed.tasks[task_id])
    for task_id in sorted(listed.brief - indexed):
        yield unread(TaskView(task_id, (), (), ()))
