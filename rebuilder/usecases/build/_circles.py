"""Which tasks stand on what a task pushes, and on what those push."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from copy import replace

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.rebuilds import Circle
from rebuilder.core.dependencies.graph import BuiltTask
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.core.rebuilds.rebuild import LONGEST_LEASE, Rebuild, State
from rebuilder.errors import InvalidReference
from rebuilder.usecases.build._delivery import Delivery
from rebuilder.usecases.build._schedule import follow
from rebuilder.usecases.build._waiting import PutBack, until_end
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

_MOST = 500
"""So many repositories are looked up at most; who stands on more is in no circle worth a wait."""


def dependents(context: Context, task: TaskId) -> set[TaskId]:
    """Return the tasks that stand on what a task pushes, directly or over others.

    Asks for those who stand on a repository once for each that is pushed on the way; most tasks
    push one that nobody stands on.

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
    return found.keys() - {task}


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


def follow_chain(
    delivery: Delivery, rebuild: Rebuild, base: Base
) -> Rebuild | TaskDecision | PutBack:
    """Find out which rebuilds led to the push; a task in its own chain is not rebuilt."""
    context = delivery.context
    image = str(base.reference.at(base.digest))
    producer = context.ledger.producer(image)
    if producer is None:
        if context.task_registry(base.reference.domain):
            # Its run may have pushed the image and not be recorded yet.
            for other in _may_close_circle(context, rebuild.task):
                if later := _pushing(context, other):
                    return later
            producer = context.ledger.producer(image)
        if producer is None:
            return rebuild
    chain = (*producer.chain, str(producer.task))
    if str(rebuild.task) in chain:
        name = str(base.reference)
        return delivery.decided(None, Circle(rebuild.task, name, base.digest, chain))
    return replace(rebuild, chain=chain)


def _may_close_circle(context: Context, task: TaskId) -> list[Rebuild]:
    """Return the newest rebuilds of the tasks that stand on what a task pushes, and others.

    Only they can be in a circle with it, so only of them it matters what led to what. What a
    rebuild that is under way led to is known by its chain, whatever the index knows.
    """
    standing = dependents(context, task)
    return [*context.ledger.unsettled_after(task), *context.ledger.heads(standing).values()]


def _pushing(context: Context, other: Rebuild) -> PutBack | None:
    """Return when to look again at a rebuild whose run may push, or have pushed, an image."""
    if other.state.in_flight:
        follow(context, other)
        return until_end(context, other.id, other.claimed_at)
    if other.state is State.CLAIMED:
        # A run may have been started for it; whoever takes it over finds out.
        # No lease is longer, whatever the clock of who holds it, or this one, may say.
        left = min(other.lease_until - context.now(), LONGEST_LEASE)
        return PutBack(max(left, context.settings.track_interval), f"claim of {other.id}")
    return None
