"""Plan: which tasks must be rebuilt after a push, and why the others that use the image need not.

The index tells who uses the pushed repository and what each was built on: ARM is asked only where
that leaves a doubt. Whoever starts a build reads the task and decides exactly. What is in no
relation to the repository is not looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import batched

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import RunStatus, Task
from rebuilder.core.decisions.decide import Base, decide
from rebuilder.core.decisions.decision import Decision, TaskDecision
from rebuilder.core.decisions.digests import TagGone
from rebuilder.core.decisions.policy import follows
from rebuilder.core.decisions.unreadable import IndexOld, RegistryUnreadable, TaskUnreadable
from rebuilder.core.dependencies.index import IndexedTask, unread
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import BUILDS, PUSHES, PlanRebuilds, StartBuild
from rebuilder.core.times import age
from rebuilder.errors import Denied, RebuilderError, TransientError
from rebuilder.isolation import attempt, attempts, together
from rebuilder.ports.acr import NEWEST_RUNS
from rebuilder.telemetry import metrics, signals
from rebuilder.telemetry.dimensions import (
    PUSH,
    REGISTRY,
    lines_about,
    lines_of_its_own,
    of_task,
)
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.refresh_index import ask_for_refresh, refresh_task, scan_registry
from rebuilder.usecases.plan.bases import not_named, pushed_base, pushed_reference
from rebuilder.usecases.plan.deciding import decide_all

log = logging.getLogger(__name__)

_HOUR = timedelta(hours=1)
_SOME = 100


@lines_of_its_own
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
    signals.note({PUSH: push.key})
    if setting := not_named(context, push.registry):
        log.warning("push %s: not planned: %s does not name its registry", push.key, setting)
        context.ledger.planned(push)
        return []
    reference = pushed_reference(context, push)
    # The event may be old: what counts is what the tag names now.
    base = pushed_base(context, reference, push)
    told = Base(reference, push.digest, "event")
    problems: dict[RegistryId, RebuilderError] = {}
    aged, complete = _ages(context, problems)
    _catch_up(context)
    following, others = _indexed(context, reference)
    decisions: list[Decision] = [*aged]
    decisions += [_alone(context, indexed, base or told) for indexed in others]
    stale = _recorded(context, push, decisions)
    # In some at a time, so that builds begin while others are still being decided on.
    for some in batched(following, _SOME, strict=False):
        tasks = [unread(indexed.view) for indexed in some]
        decided = _decided(context, tasks, base, told, problems)
        stale += _recorded(context, push, decided)
        decisions += decided
    transient = [error for error in problems.values() if isinstance(error, TransientError)]
    for registry, error in problems.items():
        with lines_about({REGISTRY: registry.name}):
            if error in transient:
                log.warning("push %s: %s not planned yet: %s", push.key, registry, error)
            else:
                # One registry that may not be read must not keep the others from being rebuilt.
                log.error("push %s: %s cannot be planned: %s", push.key, registry, error)
                signals.tell(metrics.UNREADABLE, by={REGISTRY: registry.name})
        if error not in transient:
            unreadable = RegistryUnreadable(str(registry), str(error))
            _recorded(context, push, [unreadable])
            decisions.append(unreadable)
    log.info(
        "push %s planned: %d tasks use %s, %d to rebuild",
        push.key,
        len(following) + len(others),
        reference.repository,
        stale,
    )
    if transient:
        raise transient[0]
    if complete:
        context.ledger.planned(push)
    else:
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
        missing, attempts(lambda r: scan_registry(context, r), missing), strict=True
    ):
        if isinstance(swept, RebuilderError):
            problems[registry] = swept
        else:
            complete = complete and swept
    found, now = [], context.now()
    limit = context.settings.index_max_age
    for registry in registries:
        refreshed = known.get(registry, now)
        if age(refreshed, now) > limit:
            found.append(IndexOld(str(registry), refreshed, limit // _HOUR))
            ask_for_refresh(context, registry)
    return found, complete


def _catch_up(context: Context) -> None:
    """Read the tasks again of which a run has ended since they were read: it may tell of more.

    Nobody tells when a run ends that somebody started by hand. What is not found here, for the
    registry does not answer or has had more runs since, a sweep finds.
    """
    registries = context.settings.task_registries
    read = partial(refresh_task, context, later=True)
    asked = attempts(partial(_ended, context), registries)
    for registry, found in zip(registries, asked, strict=True):
        if isinstance(found, RebuilderError):
            log.warning("registry %s: what has run lately is not known: %s", registry, found)
            continue
        for task, again in zip(found, attempts(read, found), strict=True):
            if isinstance(again, RebuilderError):
                log.warning("task %s: not read again: %s", task, again)


def _ended(context: Context, registry: RegistryId) -> list[TaskId]:
    """Return the tasks that have run since they were read, among a registry's newest runs."""
    ended: dict[TaskId, datetime] = {}
    for run in context.tasks.runs(registry, top=NEWEST_RUNS):
        if run.task and run.finished and run.status is RunStatus.SUCCEEDED:
            ended.setdefault(TaskId(registry, run.task.lower()), run.finished)
    known = together(context.index.view, list(ended))
    return [
        task
        for (task, finished), indexed in zip(ended.items(), known, strict=True)
        if indexed is None or indexed.read_at < finished
    ]


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


def _recorded(context: Context, push: Push, decisions: Sequence[Decision]) -> int:
    """Record decisions and ask for the builds; return how many there are."""
    if not decisions:
        return 0
    context.ledger.record_decisions(push, decisions, context.now())
    stale = [d.task for d in decisions if isinstance(d, TaskDecision) and d.rebuild]
    context.queue.send_many(BUILDS, [StartBuild(push, task).encode() for task in stale])
    return len(stale)


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
            decision = decide(task, told, policy=context.settings.policy)
            gone = TagGone(task.id, str(told.reference))
            decisions.append(gone if decision.rebuild else decision)
        return decisions
    for task, decided in zip(tasks, decide_all(context, tasks, base), strict=True):
        if isinstance(decided, RebuilderError):
            if isinstance(decided, TransientError | Denied):
                problems.setdefault(task.id.registry, decided)
            else:
                with lines_about(of_task(task.id)):
                    log.error("task %s: cannot be decided on: %s", task.id, decided)
                decisions.append(TaskUnreadable(task.id, str(decided)))
        else:
            decisions.append(decided)
    return decisions


def _alone(context: Context, indexed: IndexedTask, base: Base) -> TaskDecision:
    """Decide for a task that does not follow the tag."""
    policy = context.settings.policy
    decided = attempt(lambda view: decide(unread(view), base, policy=policy), indexed.view)
    if isinstance(decided, RebuilderError):
        return TaskUnreadable(indexed.view.task, str(decided))
    return decided
