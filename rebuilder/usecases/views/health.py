"""What is wrong, as far as the store tells, with what fixes it; and what was given up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from rebuilder.core.doctor import (
    DeadLettersWait,
    Finding,
    IndexNeverFilled,
    IndexOld,
    PolicyNotInForce,
    RebuildOverdue,
)
from rebuilder.errors import RebuilderError
from rebuilder.usecases.catch_up.poll_bases import BOOKMARK as POLL
from rebuilder.usecases.catch_up.sweep import BOOKMARK as SWEEP
from rebuilder.usecases.context import Context
from rebuilder.usecases.history.retire_history import BOOKMARK as HISTORY
from rebuilder.usecases.recovery.letters import waiting
from rebuilder.usecases.views._values import Value

_OVERDUE = timedelta(hours=1)
_SHOWN = 200


class Found(Value, frozen=True):
    """Something that is wrong.

    Attributes:
        code: What it is.
        severity: error, warning or note.
        what: What is wrong.
        why: Why it matters.
        commands: What fixes it.
    """

    code: str
    severity: str
    what: str
    why: str
    commands: tuple[str, ...]


class Index(Value, frozen=True):
    """How old the index of a registry is.

    Attributes:
        registry: The registry's name.
        refreshed: When its tasks were last all read; None if they never were.
        scanning: Whether they are being read.
        old: Whether that is longer ago than it may be.
    """

    registry: str
    refreshed: datetime | None
    scanning: bool
    old: bool


class Work(Value, frozen=True):
    """Long work that is done bit by bit.

    Attributes:
        name: Which.
        place: Where it goes on; "" if it came to its end.
        until: Until when an instance has it at most; None if none does.
        runs: How often it has begun or ended: a number that stands still tells that it does not
            run.
    """

    name: str
    place: str
    until: datetime | None
    runs: int


class Letter(Value, frozen=True):
    """Something that was given up.

    Attributes:
        id: Names it.
        origin: `queue` or `event`.
        source: The queue, or the event's topic.
        reason: Why it was given up.
        at: When.
        task: REGISTRY/TASK that it is about; "" if it is about none.
        push: The key of the push that it is about; "" if it is about none.
    """

    id: str
    origin: str
    source: str
    reason: str
    at: datetime
    task: str
    push: str


class Health(Value, frozen=True):
    """How the product is.

    Attributes:
        findings: What is wrong, as far as the store tells; `rebuilder doctor` looks further.
        indexes: How old the index of each task registry is.
        work: The sweep, the poll and the retirement of history.
        unplanned: How many pushes are not decided about yet.
        oldest_unplanned: Since when the oldest of them waits.
        letters: What was given up and nobody has replayed, oldest first; the first of it.
        letter_count: How much that is.
    """

    findings: tuple[Found, ...]
    indexes: tuple[Index, ...]
    work: tuple[Work, ...]
    unplanned: int
    oldest_unplanned: datetime | None
    letters: tuple[Letter, ...]
    letter_count: int


def health(context: Context) -> Health:
    """Tell how the product is.

    Raises:
        TransientError: The store cannot be reached.
    """
    now, limit = context.now(), context.settings.index_max_age
    refreshed = context.index.refreshes()
    unplanned = context.ledger.unplanned()
    letters = list(waiting(context))
    indexes = []
    for registry in context.settings.task_registries:
        at = refreshed.get(registry)
        scanning = context.index.scan(registry) is not None
        indexes.append(Index(registry.name, at, scanning, at is None or now - at > limit))
    return Health(
        tuple(
            Found(found.code, found.severity.value, found.what(), found.why(), found.commands())
            for found in _findings(context, len(letters))
        ),
        tuple(indexes),
        tuple(_work(context, name) for name in (SWEEP, POLL, HISTORY)),
        len(unplanned),
        min((record.last_at for record in unplanned), default=None),
        tuple(
            Letter(
                entry.letter.id,
                entry.letter.origin.value,
                entry.letter.source,
                entry.letter.reason,
                entry.letter.at,
                "" if entry.task is None else entry.task.short,
                "" if entry.push is None else entry.push.key,
            )
            for entry in letters[:_SHOWN]
        ),
        len(letters),
    )


def _work(context: Context, name: str) -> Work:
    mark = context.bookmarks.read(name)
    now = context.now()
    return Work(name, mark.place, None if mark.free(now) else mark.lease_until, mark.version)


def _findings(context: Context, letters: int) -> Iterator[Finding]:
    now, refreshed = context.now(), context.index.refreshes()
    for registry in context.settings.task_registries:
        at = refreshed.get(registry)
        if at is None:
            yield IndexNeverFilled(registry)
        elif now - at > context.settings.index_max_age:
            yield IndexOld(registry, at)
    for rebuild in context.ledger.unsettled():
        due = rebuild.due or rebuild.lease_until
        if now - due > _OVERDUE:
            yield RebuildOverdue(rebuild.task, due)
    if letters:
        yield DeadLettersWait(letters)
    try:
        in_force = context.in_force.now(context.steering, now)
    except RebuilderError:
        return  # the page of policies tells why it cannot be read
    if in_force.broken:
        yield PolicyNotInForce(in_force.broken, not in_force.unreadable)
