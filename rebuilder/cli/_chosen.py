"""Which registries and tasks a person means."""

from __future__ import annotations

from collections.abc import Iterable

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Task
from rebuilder.core.globs import fits
from rebuilder.errors import InvalidResourceId, NotFound
from rebuilder.usecases.context import Context


def chosen_registries(context: Context, wanted: str) -> list[RegistryId]:
    """Return the task registries that a person means: all of them, or one by name or id.

    Raises:
        NotFound: None is meant.
    """
    registries = list(context.settings.task_registries)
    if not wanted:
        return registries
    found = [r for r in registries if wanted.lower() in (r.name, str(r))]
    if not found:
        known = ", ".join(r.name for r in registries)
        raise NotFound(f"{wanted} is none of the registries in REBUILDER_TASK_REGISTRIES: {known}")
    return found


def chosen_base(context: Context, wanted: str) -> RegistryId:
    """Return the base registry that a person means, by name or id; "" means the only one.

    Raises:
        NotFound: None is meant, or it is not said which.
    """
    known = sorted(context.settings.base_registries)
    found = [r for r in known if wanted.lower() in ("", r.name, str(r))]
    if len(found) != 1:
        names = ", ".join(r.name for r in known)
        raise NotFound(
            f"{wanted} is none of the base registries: {names}"
            if wanted
            else f"say --base, one of {names}"
        )
    return found[0]


def chosen_tasks(context: Context, patterns: Iterable[str]) -> list[TaskId]:
    """Return the tasks that a person means: names as `find_task` takes them, or patterns.

    Raises:
        NotFound: One means none, or a name means several.
    """
    found: dict[TaskId, None] = {}
    for pattern in patterns:
        if not {"*", "?"} & {*pattern}:
            found[find_task(context, pattern).id] = None
            continue
        wanted = (pattern if "/" in pattern else f"*/{pattern}").lower()
        known = [
            indexed.view.task
            for registry in context.settings.task_registries
            for indexed in context.index.views(registry)
            if fits(wanted, (indexed.view.task.short,))
        ]
        if not known:
            raise NotFound(f"no task is known that fits {pattern}")
        found |= dict.fromkeys(sorted(known))
    return list(found)


def find_task(context: Context, wanted: str) -> Task:
    """Return the task that a person means: NAME, REGISTRY/NAME or a resource id.

    Raises:
        NotFound: None is meant, or several are.
    """
    if wanted.startswith("/"):
        return context.tasks.task(TaskId.parse(wanted))
    registry, _, name = wanted.rpartition("/")
    found: list[Task] = []
    registries = chosen_registries(context, registry)
    for candidate in registries:
        try:
            found.append(context.tasks.task(TaskId.parse(f"{candidate}/tasks/{name}")))
        except InvalidResourceId:
            raise NotFound(f"{name!r} is no name of a task") from None
        except NotFound:
            continue
    if not found:
        known = ", ".join(r.name for r in registries)
        raise NotFound(f"there is no task {name} in {known}")
    if len(found) > 1:
        names = ", ".join(task.id.short for task in found)
        raise NotFound(f"{wanted} is a task of several registries; write one of {names}")
    return found[0]
