"""Plan: which tasks must be rebuilt after a push, and why the others need not."""

from __future__ import annotations

import logging

from rebuilder.core.decisions import (
    Base,
    Decision,
    RegistryUnreadable,
    TagGone,
    TaskDecision,
    decide,
)
from rebuilder.core.messages import BUILDS, PlanRebuilds, StartBuild
from rebuilder.core.tasks import Task
from rebuilder.errors import PermanentError, TransientError
from rebuilder.usecases._deciding import current_base, decide_for, pushed_reference
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)


def plan_rebuilds(context: Context, message: PlanRebuilds) -> list[Decision]:
    """Decide for every task of every configured registry, and enqueue the builds.

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

    def decide_one(task: Task) -> TaskDecision:
        if base is not None:
            return decide_for(context, task, base)
        decision = decide(task, told)
        return TagGone(task.id, str(reference)) if decision.rebuild else decision

    decisions: list[Decision] = []
    failures: list[TransientError] = []
    for registry in context.settings.task_registries:
        try:
            decisions.extend(decide_one(task) for task in context.tasks.tasks(registry))
        except TransientError as error:
            log.warning("push %s: %s not planned yet: %s", push.key, registry, error)
            failures.append(error)
        except PermanentError as error:
            # One registry that may not be read must not keep the others from being rebuilt.
            log.error("push %s: %s cannot be planned: %s", push.key, registry, error)  # noqa: TRY400 - the message says it all
            decisions.append(RegistryUnreadable(str(registry), str(error)))
    context.ledger.record_decisions(push, decisions, context.now())
    tasks = [d.task for d in decisions if isinstance(d, TaskDecision) and d.rebuild]
    for task in tasks:
        context.queue.send(BUILDS, StartBuild(push, task).encode())
    log.info("push %s planned: %d tasks, %d to rebuild", push.key, len(decisions), len(tasks))
    if failures:
        raise failures[0]
    return decisions
