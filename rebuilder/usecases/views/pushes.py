"""Pushes of a day, and what came of one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import InvalidResourceId, NotFound
from rebuilder.ports.ledger import DecisionRecord, PushRecord
from rebuilder.usecases.context import Context
from rebuilder.usecases.recovery.letters import waiting
from rebuilder.usecases.views._values import Attempt, TaskName, Value, attempt_of, skip_of
from rebuilder.usecases.views.overview import Pushed, pushed

MOST = 200
"""How many pushes, and how many decisions, a page holds at most."""

_EARLIER = 10


class PushPage(Value, frozen=True):
    """Pushes of a day.

    Attributes:
        day: The day, in UTC.
        pushes: Those that were first told on it, newest first.
        count: How many there are on that day.
        next: What gives the next page of the day; "" after the last one.
    """

    day: str
    pushes: tuple[Pushed, ...]
    count: int
    next: str


class Decided(Value, frozen=True):
    """What was decided for a task, and what came of it.

    Attributes:
        task: The task; None for a decision that is about no task.
        code: The reason.
        rebuild: Whether it was to be rebuilt.
        sentence: The reason with its evidence.
        at: When it was decided last.
        came: What came of it: `rebuilt`, `building`, `waiting`, `retrying`, `failed`, `overtaken`
            by a newer image, `to come`, or `left alone`.
        attempt: The rebuild.
    """

    task: TaskName | None
    code: str
    rebuild: bool
    sentence: str
    at: datetime
    came: str
    attempt: Attempt | None


class PushDetail(Value, frozen=True):
    """What came of a push.

    Attributes:
        push: The push.
        reference: The image as tasks name it; "" if none was decided about.
        pushed_at: When it came to its registry, as its event tells.
        last_at: When it was last told.
        deliveries: How often it was told.
        planned: Whether what it leads to is decided.
        counts: How many tasks came to what.
        decisions: What was decided, those that are to be rebuilt first.
        next: What gives the next page of the decisions; "" after the last one.
        earlier: The pushes of the same tag before it, newest first.
        letters: The ids of the dead letters about it.
    """

    push: Pushed
    reference: str
    pushed_at: datetime | None
    last_at: datetime
    deliveries: int
    planned: bool
    counts: dict[str, int]
    decisions: tuple[Decided, ...]
    next: str
    earlier: tuple[Pushed, ...]
    letters: tuple[str, ...]


def pushes(context: Context, day: str, after: str, limit: int) -> PushPage:
    """Return the pushes of a day.

    Args:
        context: The ports.
        day: As 2026-12-31, in UTC; "" for today.
        after: The `next` of the page before.
        limit: How many at most.

    Raises:
        NotFound: `day` is no day, or `after` no place.
        TransientError: The store cannot be reached.
    """
    try:
        begins = datetime.fromisoformat(day).replace(tzinfo=UTC) if day else context.now()
    except ValueError:
        raise NotFound(f"{day!r:.40} is no day: write 2026-12-31") from None
    begins = begins.replace(hour=0, minute=0, second=0, microsecond=0)
    skip = skip_of(after)
    found = context.ledger.pushes_between(begins, begins + timedelta(days=1))[::-1]
    end = skip + max(1, min(limit, MOST))
    shown = tuple(map(pushed, found[skip:end]))
    return PushPage(
        begins.date().isoformat(), shown, len(found), str(end) if end < len(found) else ""
    )


def push(context: Context, key: str, after: str = "") -> PushDetail:
    """Return what came of a push.

    Args:
        context: The ports.
        key: The push's key.
        after: The `next` of the page before.

    Raises:
        NotFound: It is not known.
        TransientError: The store cannot be reached.
    """
    known = _known(context, key)
    told = known.push
    newest: dict[TaskId | str, DecisionRecord] = {}
    for record in context.ledger.decisions(told):
        decision = record.decision
        about = decision.task if isinstance(decision, TaskDecision) else decision.sentence()
        before = newest.get(about)
        if before is None or record.last_at >= before.last_at:
            newest[about] = record
    heads = context.ledger.heads([about for about in newest if isinstance(about, TaskId)])
    decided = [_decided(record, heads, told) for record in newest.values()]
    decided.sort(key=lambda one: (not one.rebuild, one.task.name if one.task else ""))
    counts: dict[str, int] = {}
    for one in decided:
        counts[one.came] = counts.get(one.came, 0) + 1
    skip = skip_of(after)
    end = skip + MOST
    records = context.ledger.pushes(told.registry, told.repository, told.tag, _EARLIER + 1)
    earlier = (record for record in records if record.push.key != key)
    return PushDetail(
        pushed(known),
        next(filter(None, (_named(record, told) for record in newest.values())), ""),
        told.pushed_at,
        known.last_at,
        known.deliveries,
        all(record.push.key != key for record in context.ledger.unplanned()),
        counts,
        tuple(decided[skip:end]),
        str(end) if end < len(decided) else "",
        tuple(map(pushed, earlier)),
        tuple(
            w.letter.id for w in waiting(context) if w.push is not None and w.push.key == told.key
        ),
    )


def _named(record: DecisionRecord, push: Push) -> str:
    """Return the image as a task names it."""
    name = str(getattr(record.decision, "dependency", ""))
    return name if name.endswith(f"/{push.repository}:{push.tag}") else ""


def _known(context: Context, key: str) -> PushRecord:
    try:
        Push.from_key(key)
    except (ValueError, InvalidResourceId):
        raise NotFound("that names no push") from None
    known = context.ledger.push(key)
    if known is None:
        raise NotFound("this push is not known, or not any more")
    return known


def _decided(record: DecisionRecord, heads: Mapping[TaskId, Rebuild], push: Push) -> Decided:
    decision = record.decision
    task = decision.task if isinstance(decision, TaskDecision) else None
    head = heads.get(task) if task is not None else None
    mine = head if head is not None and _on(head, push) else None
    return Decided(
        None if task is None else TaskName(str(task), task.short),
        decision.code,
        decision.rebuild or mine is not None,
        decision.sentence(),
        record.last_at,
        _came(head, push, rebuild=decision.rebuild),
        None if mine is None else attempt_of(mine),
    )


def _on(head: Rebuild, push: Push) -> bool:
    return head.push == push.key or any(b.endswith(f"@{push.digest}") for b in head.bases)


def _came(head: Rebuild | None, push: Push, *, rebuild: bool) -> str:
    if head is None or not _on(head, push):
        if not rebuild:
            return "left alone"
        return "to come" if head is None else "overtaken"
    if head.state in _CAME:
        return _CAME[head.state]
    return "retrying" if head.due is not None else "failed"


_CAME = {
    State.HELD: "waiting",
    State.CLAIMED: "building",
    State.SCHEDULED: "building",
    State.RUNNING: "building",
    State.SUCCEEDED: "rebuilt",
    State.SKIPPED: "left alone",
}
