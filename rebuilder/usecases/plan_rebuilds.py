"""Plan: which tasks must be rebuilt after a push, and why the others that use the image need not.

The index tells who uses the pushed repository; only tasks that follow the pushed tag are then
read from ARM. What is in no relation to the repository is not looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from rebuilder.core.decisions import (
    Base,
    Decision,
    IndexOld,
    RegistryUnreadable,
    TagGone,
    TaskDecision,
    TaskGone,
    decide,
    follows,
)
from rebuilder.core.index import IndexedTask, unread, with_view
from rebuilder.core.messages import BUILDS, PUSHES, REFRESH, PlanRebuilds, Refresh, StartBuild
from rebuilder.core.references import ImageReference
from rebuilder.core.registries import RegistryId
from rebuilder.core.tasks import Task
from rebuilder.errors import NotFound, RebuilderError, TransientError
from rebuilder.usecases._deciding import current_base, decide_all, pushed_reference
from rebuilder.usecases._parallel import attempts
from rebuilder.usecases.context import Context
from rebuilder.usecases.refresh_index import sweep_registry

log = logging.getLogger(__name__)

_HOUR = timedelta(hours=1)


def plan_rebuilds(context: Context, message: PlanRebuilds) -> list[Decision]:
    """Decide for every task that uses the pushed repository, and enqueue the builds.

    A registry whose tasks were never all read is read first. If that takes too long, what is
    known by then is planned, and the message is put back for the rest.

    Returns:
        The decisions, all of which are in the ledger.

    Raises:
        TransientError: Some registry could not be read now. What could be decided is recorded
            and enqueued; planning again repeats no build.
        PermanentError: The base registry cannot be read.
    """
    push = message.push
    reference = pushed_reference(context, push)
    # The event may be old: what counts is what the tag names now.
    base = current_base(context, reference, push.digest)
    told = Base(reference, push.digest, "event")
    problems: dict[RegistryId, RebuilderError] = {}
    aged, complete = _ages(context, problems)
    following, others = _indexed(context, reference)
    gone, tasks = _read(context, following, problems)
    decisions: list[Decision] = [*aged, *gone]
    decisions += [decide(unread(indexed.view), base or told) for indexed in others]
    decisions += _decided(context, tasks, base, told, problems)
    transient = [error for error in problems.values() if isinstance(error, TransientError)]
    for registry, error in problems.items():
        if error in transient:
            log.warning("push %s: %s not planned yet: %s", push.key, registry, error)
        else:
            # One registry that may not be read must not keep the others from being rebuilt.
            log.error("push %s: %s cannot be planned: %s", push.key, registry, error)
            decisions.append(RegistryUnreadable(str(registry), str(error)))
    context.ledger.record_decisions(push, decisions, context.now())
    stale = [d.task for d in decisions if isinstance(d, TaskDecision) and d.rebuild]
    context.queue.send_many(BUILDS, [StartBuild(push, task).encode() for task in stale])
    log.info(
        "push %s planned: %d tasks use %s, %d to rebuild",
        push.key,
        len(following) + len(others),
        reference.repository,
        len(stale),
    )
    if transient:
        raise transient[0]
    if not complete:
        context.queue.send(PUSHES, message.encode())
    return decisions


def _ages(
    context: Context, problems: dict[RegistryId, RebuilderError]
) -> tuple[list[IndexOld], bool]:
    """Return which registries' index is too old, and whether every registry is in the index."""
    known = context.index.refreshes()
    registries = context.settings.task_registries
    missing = [registry for registry in registries if registry not in known]
    complete = True
    for registry, swept in zip(
        missing, attempts(lambda r: sweep_registry(context, r), missing), strict=True
    ):
        if isinstance(swept, RebuilderError):
            problems[registry] = swept
        else:
            complete = complete and swept
    found, now = [], context.now()
    limit = context.settings.index_max_age
    for registry in registries:
        refreshed = known.get(registry, now)
        if now - refreshed > limit:
            found.append(IndexOld(str(registry), refreshed, limit // _HOUR))
            context.queue.send(REFRESH, Refresh(registry, None, now).encode())
    return found, complete


def _indexed(
    context: Context, reference: ImageReference
) -> tuple[list[IndexedTask], list[IndexedTask]]:
    """Return the tasks that follow a tag, and those that use its repository otherwise."""
    registries = set(context.settings.task_registries)
    following: list[IndexedTask] = []
    others: list[IndexedTask] = []
    for indexed in context.index.dependents(reference.repository):
        if indexed.view.task.registry in registries:
            found = any(follows(d, reference) for d in indexed.view.dependencies)
            (following if found else others).append(indexed)
    return following, others


def _read(
    context: Context,
    indexed: Sequence[IndexedTask],
    problems: dict[RegistryId, RebuilderError],
) -> tuple[list[TaskGone], list[Task]]:
    """Read tasks from ARM, and add what the index knows of them."""

    def read(task: IndexedTask) -> Task:
        return with_view(context.tasks.task(task.view.task), task.view)

    gone: list[TaskGone] = []
    tasks: list[Task] = []
    for known, found in zip(indexed, attempts(read, indexed), strict=True):
        task = known.view.task
        if isinstance(found, Task):
            tasks.append(found)
        elif isinstance(found, NotFound):
            context.index.remove(task, context.now())
            gone.append(TaskGone(task))
        else:
            problems.setdefault(task.registry, found)
    return gone, tasks


def _decided(
    context: Context,
    tasks: Sequence[Task],
    base: Base | None,
    told: Base,
    problems: dict[RegistryId, RebuilderError],
) -> list[TaskDecision]:
    decisions: list[TaskDecision] = []
    if base is None:
        for task in tasks:
            decision = decide(task, told, rebuild_for=context.settings.rebuild_for)
            gone = TagGone(task.id, str(told.reference))
            decisions.append(gone if decision.rebuild else decision)
        return decisions
    for task, decided in zip(tasks, decide_all(context, tasks, base), strict=True):
        if isinstance(decided, RebuilderError):
            problems.setdefault(task.id.registry, decided)
        else:
            decisions.append(decided)
    return decisions
