"""Collect what an audit looks at: the ledger, the dead letters, and ARM's runs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from copy import replace
from datetime import datetime, timedelta
from functools import partial

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Run
from rebuilder.core.audit.judge import audit as judge
from rebuilder.core.audit.model import (
    Audit,
    AuditedPush,
    AuditFinding,
    AuditInput,
    DatedDecision,
    PendingLetter,
)
from rebuilder.core.decisions.decide import Base, decide
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.dependencies.index import IndexedTask, unread
from rebuilder.core.events.pushes import Push
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempts
from rebuilder.usecases.context import Context
from rebuilder.usecases.history.lookups import rebuilds_since
from rebuilder.usecases.plan.bases import pushed_reference, registry_remark
from rebuilder.usecases.recovery.letters import waiting
from rebuilder.usecases.reports._standing import stands

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
    dependents = _Dependents(context)
    decisions = {
        record.push.key: tuple(
            DatedDecision(made.decision, made.last_at)
            for made in context.ledger.decisions(record.push)
        )
        for record in records
    }
    remarks: list[str] = []
    unplanned = {record.push.key for record in context.ledger.unplanned()}
    told = tuple(
        AuditedPush(
            record.push,
            record.at,
            decisions[record.push.key],
            dependents.of(record.push, remarks),
            record.push.key not in unplanned,
        )
        for record in records
    )
    audited = tuple(push for push in told if push.at < until)
    letters = tuple(w for w in waiting(context) if since <= w.letter.at < until)
    tasks = dict.fromkeys(
        made.decision.task
        for push in audited
        for made in push.decisions
        if isinstance(made.decision, TaskDecision) and made.decision.rebuild
    )
    runs = _runs(context, list(tasks), remarks) if ask_arm else {}
    stood = stands(context, patience, ask=ask_arm)
    found = judge(
        AuditInput(
            audited,
            (*told[len(audited) :], *_told_before(context, letters, decisions)),
            {task: tuple(rebuilds_since(context.ledger, task, since - patience)) for task in tasks},
            runs,
            letters,
            now,
            patience,
            (*remarks, *stood.remarks),
            _unread(context),
            stood.findings,
            stood.tags,
        )
    )
    return replace(found, findings=_remarked(context, found.findings)) if ask_arm else found


def _remarked(context: Context, findings: tuple[AuditFinding, ...]) -> tuple[AuditFinding, ...]:
    """Say what its registry knows otherwise of a push that somebody has to look at."""
    pushes = {f.push.key: f.push for f in findings if f.verdict.failing}
    asked = list(pushes.values())[:ASKED]
    remarks = attempts(partial(registry_remark, context), asked)
    said = {
        push.key: remark
        for push, remark in zip(asked, remarks, strict=True)
        if isinstance(remark, str) and remark
    }
    return tuple(
        replace(f, sentence=f"{f.sentence}; {said[f.push.key]}")
        if f.verdict.failing and f.push.key in said
        else f
        for f in findings
    )


def _unread(context: Context) -> dict[TaskId, str]:
    """Return the tasks that may read more than is known: a push of it has no effect on them."""
    return {
        indexed.view.task: indexed.view.unread
        for registry in context.settings.task_registries
        for indexed in context.index.views(registry)
        if indexed.view.unread
    }


class _Dependents:
    """Who is built on the repositories of pushes, each asked for once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: dict[str, list[IndexedTask]] = {}

    def of(self, push: Push, remarks: list[str]) -> tuple[TaskId, ...]:
        """Return the tasks that the index knows to be in need of a push."""
        context = self._context
        try:
            reference = pushed_reference(context, push)
        except RebuilderError as error:
            remarks.append(f"who needs {push.key} could not be told: {error}")
            return ()
        repository = reference.repository
        if repository not in self._known:
            self._known[repository] = context.index.dependents(repository)
        base, policy = Base(reference, push.digest, "event"), context.settings.policy
        registries = set(context.settings.task_registries)
        known = [view for view in self._known[repository] if view.view.task.registry in registries]
        made = attempts(lambda view: decide(unread(view.view), base, policy=policy), known)
        found = []
        for task, decision in zip((view.view.task for view in known), made, strict=True):
            if isinstance(decision, RebuilderError):
                remarks.append(f"whether {task} needs {push.key} could not be told: {decision}")
            elif decision.rebuild:
                found.append(task)
        return tuple(found)


def _told_before(
    context: Context, letters: Iterable[PendingLetter], known: Collection[str]
) -> list[AuditedPush]:
    """Return the pushes of dead letters that were told otherwise, before the time span."""
    found = [
        context.ledger.push(key)
        for key in dict.fromkeys(w.push.key for w in letters if w.push is not None)
        if key not in known
    ]
    return [AuditedPush(record.push, record.first_at) for record in found if record is not None]


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
