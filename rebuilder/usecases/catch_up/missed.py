"""Find out whether anybody still has to be told that a tag names a digest."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry, TaskId
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.operators import WouldRebuild
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.decisions.unreadable import TaskUnreadable
from rebuilder.core.dependencies.index import IndexedTask, moving
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import PUSHES, PlanRebuilds
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.core.times import age
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempt
from rebuilder.telemetry.dimensions import PUSH, lines_about
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

_SOME = 20  # of a task's rebuilds: as many as are kept


class Follower(Struct, frozen=True):
    """A task whose image moves with a tag.

    Attributes:
        task: The task.
        built_on: The digest that it is recorded to be built on, if known.
    """

    task: TaskId
    built_on: str | None


type Followers = Mapping[ImageReference, tuple[Follower, ...]]
"""The tags that tasks are built on, each with those tasks."""


def followers(context: Context) -> Followers:
    """Return what the index knows of every tag that a task registry's tasks follow.

    Raises:
        TransientError: The index cannot be read.
    """
    registries = context.settings.task_registries
    return _followers(
        context, (i for registry in registries for i in context.index.views(registry))
    )


def followers_of(context: Context, references: Collection[ImageReference]) -> Followers:
    """Return the same for some tags, by their repositories; one that nobody follows is left out.

    Raises:
        TransientError: The index cannot be read.
    """
    repositories = sorted({reference.repository for reference in references})
    registries = set(context.settings.task_registries)
    known = (
        indexed
        for repository in repositories
        for indexed in context.index.dependents(repository)
        if indexed.view.task.registry in registries
    )
    every = _followers(context, known)
    return {reference: tasks for reference, tasks in every.items() if reference in references}


def _followers(context: Context, known: Iterable[IndexedTask]) -> Followers:
    found: dict[ImageReference, dict[Follower, None]] = {}
    policy = context.settings.policy
    for indexed in known:
        tags = attempt(lambda view: moving(view, policy), indexed.view)
        if isinstance(tags, RebuilderError):
            continue  # one whose view is odd keeps no other from being looked at
        for dependency in tags:
            follower = Follower(indexed.view.task, dependency.built_on)
            found.setdefault(dependency.reference, {})[follower] = None
    return {reference: tuple(found[reference]) for reference in sorted(found, key=str)}


def missed(
    context: Context, reference: ImageReference, push: Push, tasks: Iterable[Follower]
) -> bool:
    """Tell whether some task is not built on a digest, and nothing is under way to change that.

    Args:
        context: The ledger.
        reference: The tag.
        push: The push of the digest that it names now.
        tasks: The tag's followers.
    """
    now = context.now()
    on = str(reference.at(push.digest))
    known = context.ledger.push(push.key)
    if known is not None and age(known.last_at, now) < context.settings.sweep_patience:
        return False  # its plan is on its way
    newest = {} if known is None else _newest(context, push)
    # Whoever is not decided about came to follow the tag after it was pushed: by an edit, say.
    asked_lately = known is None or age(known.last_at, now) < context.settings.sweep_again
    stale = {
        follower.task
        for follower in tasks
        if follower.built_on != push.digest
        or _needs_decision(newest, follower.task, settled=asked_lately)
    }
    stale |= _left_on_another(context, newest, push, f"{reference}@", tasks)
    if not stale:
        # ACR's record may name the new digest of a run that pulled the one before: whoever plans
        # for the push looks at when the run began. A foreign registry does not tell since when.
        return known is None and not isinstance(push.registry, ForeignRegistry)
    heads = context.ledger.heads(stale)
    uncovered = {
        task
        for task in stale
        if task not in heads or not _covered(context, heads[task], str(reference), on)
    }
    return bool(uncovered) and bool(uncovered - _left_alone(context, newest))


def _left_on_another(
    context: Context,
    newest: Mapping[TaskId, tuple[datetime, TaskDecision]],
    push: Push,
    tag: str,
    tasks: Iterable[Follower],
) -> set[TaskId]:
    """Return the tasks whose newest rebuild left them on another digest, whatever is recorded.

    The tag came back while its run was under way, and no event told so. One that was decided about
    since the run ended is left: whoever decides looks at when the run began.
    """
    recorded = [f.task for f in tasks if f.built_on == push.digest]
    return {
        task
        for task, head in context.ledger.heads(recorded).items()
        if head.state is State.SUCCEEDED
        and any(b.startswith(tag) and b != f"{tag}{push.digest}" for b in head.bases)
        and not (task in newest and head.ended_at and newest[task][0] >= head.ended_at)
    }


def announce_push(context: Context, push: Push) -> None:
    """Record a push that no event told of, and have it planned.

    Raises:
        TransientError: It was not taken over; it is to be found again.
    """
    context.ledger.record_events([push], context.now())
    context.queue.send(PUSHES, PlanRebuilds(push).encode())
    with lines_about({PUSH: push.key}):
        log.info("push %s found by the %s: enqueued", push.key, push.event)


def _covered(context: Context, head: Rebuild, reference: str, on: str) -> bool:
    """Tell whether the newest rebuild for a tag is for the digest, and did not end for nothing."""
    prefix = f"{reference}@"
    newest = (
        head
        if any(base.startswith(prefix) for base in head.bases)
        else next(
            (
                rebuild
                for rebuild in context.ledger.rebuilds(head.task, _SOME)
                if any(base.startswith(prefix) for base in rebuild.bases)
            ),
            None,
        )
    )
    if newest is None or on not in newest.bases:
        return False
    over = newest.state in (State.SUCCEEDED, State.GIVEN_UP)
    return newest.unsettled or (over and not newest.missed)


def _newest(context: Context, push: Push) -> dict[TaskId, tuple[datetime, TaskDecision]]:
    """Return what was decided last for each task after a push, and when."""
    newest: dict[TaskId, tuple[datetime, TaskDecision]] = {}
    now = context.now()
    for record in context.ledger.decisions(push):
        decision = record.decision
        if isinstance(decision, TaskDecision):
            known = newest.get(decision.task)
            if known is None or age(known[0], now) >= age(record.last_at, now):
                newest[decision.task] = (record.last_at, decision)
    return newest


def _needs_decision(
    newest: Mapping[TaskId, tuple[datetime, TaskDecision]], task: TaskId, *, settled: bool
) -> bool:
    """Tell whether a task was to be rebuilt, or nobody has looked at how its record came to be.

    Its record proves nothing then: a run that ended since names the digest whether it read it
    or the one before.

    Args:
        newest: What was decided last after the push.
        task: The task.
        settled: Whether a task that nothing was decided for is to be let be.
    """
    if task not in newest:
        return not settled
    _, decision = newest[task]
    return decision.rebuild or isinstance(decision, TaskDisabled | TaskUnreadable)


def _left_alone(
    context: Context, newest: Mapping[TaskId, tuple[datetime, TaskDecision]]
) -> set[TaskId]:
    """Return the tasks that lately were decided about, one way or the other.

    One that is to be rebuilt gets the time that its message needs; one that is not (it is
    disabled, say) is decided again after a while, for what kept it may be over.
    """
    now, settings = context.now(), context.settings
    return {
        task
        for task, (at, decision) in newest.items()
        # Who only observes would decide the same again, every hour.
        if (settings.observe and isinstance(decision, WouldRebuild))
        or age(at, now) < (settings.sweep_patience if decision.rebuild else settings.sweep_again)
    }
