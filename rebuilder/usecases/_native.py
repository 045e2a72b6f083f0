"""ACR's own base image trigger: whether it could see a dependency, and whether its run came."""

from __future__ import annotations

from datetime import datetime, timedelta

from rebuilder.core.decisions import Base, RebuildFor, follows, wants
from rebuilder.core.events import Push
from rebuilder.core.registries import ForeignRegistry
from rebuilder.core.tasks import Run, Task
from rebuilder.usecases.context import Context

_RUNS = 20

# Foreign hosts that ACR looks at by itself, and how often at least: "a random interval of between
# 10 and 60 minutes"; learn.microsoft.com, "About base image updates for ACR Tasks".
_POLLED = frozenset({"docker.io", "mcr.microsoft.com"})
_POLL = timedelta(minutes=60)


def could_see(task: Task, base: Base, push: Push) -> bool:
    """Tell whether a task's own trigger is on and knows the dependency.

    Args:
        task: The task as ARM tells of it: its dependencies are those of ACR's record.
        base: The tag that moved.
        push: The push that told so.
    """
    if isinstance(push.registry, ForeignRegistry) and push.registry.host not in _POLLED:
        return False
    return task.native_trigger and any(
        follows(dependency, base.reference) and wants(task, dependency, RebuildFor.TRIGGER)
        for dependency in task.dependencies
    )


def wait_until(context: Context, push: Push) -> datetime:
    """Return until when the native run is waited for."""
    now = context.now()
    # An event may be late; a clock of somebody else may be ahead.
    pushed = min(push.pushed_at or now, now)
    polled = isinstance(push.registry, ForeignRegistry)
    return pushed + context.settings.native_wait + (_POLL if polled else timedelta())


def native_run(context: Context, task: Task, base: Base) -> Run | None:
    """Return the run that the trigger started for a base, if there is one."""
    moved = str(base.reference.at(base.digest)).lower()
    known = {rebuild.run_id for rebuild in context.ledger.rebuilds(task.id)}
    for run in context.tasks.runs(task.id.registry, task=task.id.name, top=_RUNS):
        if run.run_id not in known and any(image.lower() == moved for image in run.moved):
            return run
    return None
