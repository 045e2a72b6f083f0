"""Collect what an audit looks at: the ledger, the dead letters, and ARM's runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from rebuilder.core.audit import audit as judge
from rebuilder.core.books import Audit, Books, Made, Told, Waiting
from rebuilder.core.dead_letters import DeadLetter, Origin
from rebuilder.core.decisions import Base, TaskDecision, decide
from rebuilder.core.events import Push, read_event
from rebuilder.core.index import unread
from rebuilder.core.messages import BUILDS, PUSHES, RUNS, PlanRebuilds, StartBuild, TrackBuild
from rebuilder.core.registries import TaskId
from rebuilder.core.tasks import Run
from rebuilder.errors import InvalidMessage, RebuilderError
from rebuilder.ports import PushRecord
from rebuilder.usecases._deciding import pushed_reference
from rebuilder.usecases._parallel import attempts
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

PATIENCE = timedelta(hours=1)
"""How long something may take before it counts as lost, unless a person says otherwise."""

ASKED = 500
"""How many tasks' runs are asked of ARM, one request each."""

_RUNS = 50


def audit(
    context: Context,
    since: datetime,
    until: datetime,
    *,
    ask_arm: bool = True,
    patience: timedelta = PATIENCE,
) -> Audit:
    """Judge every push that was first told in a time span.

    Args:
        context: The ports.
        since: The beginning of the span.
        until: Its end, which is not part of it.
        ask_arm: Whether ARM is asked for the runs of the tasks concerned.
        patience: How long something may take before it counts as lost.

    Raises:
        TransientError: The ledger could not be read.
    """
    now = context.now()
    records = context.ledger.pushes_between(since, max(until, now))
    decisions = {
        record.push.key: tuple(
            Made(made.decision, made.last_at) for made in context.ledger.decisions(record.push)
        )
        for record in records
    }
    remarks: list[str] = []
    told = tuple(
        Told(
            record.push,
            record.first_at,
            decisions[record.push.key],
            _followers(context, record, remarks),
        )
        for record in records
    )
    audited = tuple(push for push in told if push.at < until)
    waiting = tuple(
        _waiting(context, letter)
        for letter in context.dead_letters.all()
        if letter.replayed_at is None and since <= letter.at < until
    )
    tasks = dict.fromkeys(
        made.decision.task
        for push in audited
        for made in push.decisions
        if isinstance(made.decision, TaskDecision) and made.decision.rebuild
    )
    return judge(
        Books(
            audited,
            (*told[len(audited) :], *_told_before(context, waiting, decisions)),
            {task: context.ledger.rebuilds(task) for task in tasks},
            _runs(context, list(tasks), remarks) if ask_arm else {},
            waiting,
            now,
            patience,
            tuple(remarks),
            _unread(context),
        )
    )


def _unread(context: Context) -> dict[TaskId, str]:
    """Return the tasks that may read more than is known: a push of it has no effect on them."""
    return {
        indexed.view.task: indexed.view.unread
        for registry in context.settings.task_registries
        for indexed in context.index.views(registry)
        if indexed.view.unread
    }


def _followers(context: Context, record: PushRecord, remarks: list[str]) -> tuple[TaskId, ...]:
    """Return the tasks that the index knows to be in need of a push."""
    try:
        reference = pushed_reference(context, record.push)
    except RebuilderError as error:
        remarks.append(f"who needs {record.push.key} could not be told: {error}")
        return ()
    base = Base(reference, record.push.digest, "event")
    return tuple(
        indexed.view.task
        for indexed in context.index.dependents(reference.repository)
        if indexed.view.task.registry in context.settings.task_registries
        and decide(unread(indexed.view), base, policy=context.settings.policy).rebuild
    )


def _told_before(
    context: Context, waiting: Iterable[Waiting], known: Collection[str]
) -> list[Told]:
    """Return the pushes of dead letters that were told otherwise, before the time span."""
    return [
        Told(record.push, record.first_at)
        for push in {w.push.key: w.push for w in waiting if w.push is not None}.values()
        if push.key not in known
        for record in context.ledger.pushes(push.registry, push.repository)
        if record.push.key == push.key
    ]


def _waiting(context: Context, letter: DeadLetter) -> Waiting:
    """Tell which push and task a dead letter is about."""
    try:
        if letter.origin is Origin.EVENT:
            event = read_event(json.loads(letter.body), context.settings.base_registries)
            return Waiting(letter, event if isinstance(event, Push) else None)
        if letter.source == PUSHES:
            return Waiting(letter, PlanRebuilds.decode(letter.body).push)
        if letter.source == BUILDS:
            build = StartBuild.decode(letter.body)
            return Waiting(letter, build.push, build.task)
        if letter.source == RUNS:
            return Waiting(letter, None, TrackBuild.decode(letter.body).task)
    except (InvalidMessage, ValueError, RecursionError) as error:
        log.info("dead letter %s is about nothing known: %s", letter.id, error)
    return Waiting(letter)


def _runs(context: Context, tasks: list[TaskId], remarks: list[str]) -> dict[TaskId, list[Run]]:
    if len(tasks) > ASKED:
        remarks.append(f"ARM was asked about {ASKED} of {len(tasks)} tasks")
    asked = tasks[:ASKED]

    def look(task: TaskId) -> list[Run]:
        return context.tasks.runs(task.registry, task=task.name, top=_RUNS)

    found: dict[TaskId, list[Run]] = {}
    for task, runs in zip(asked, attempts(look, asked), strict=True):
        if isinstance(runs, RebuilderError):
            remarks.append(f"the runs of {task} could not be read: {runs}")
        else:
            found[task] = runs
    return found
