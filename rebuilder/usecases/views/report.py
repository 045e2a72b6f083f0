"""How quickly images come to stand on new bases, by what is summed up by the day."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from rebuilder.core.structs import prepared
from rebuilder.core.times import age
from rebuilder.usecases.context import Context
from rebuilder.usecases.staleness.report import Remembered, summary, summary_record
from rebuilder.usecases.views._values import Value

FRESH = timedelta(minutes=1)
"""How long what was worked out is told again."""

_SHOWN = 500


class Counted(Value, frozen=True):
    """What became of some spells of standing on an old base.

    Attributes:
        spells: How many.
        p50_hours: Within how many hours half of them were over; None if none was.
        p95_hours: The same for 95 of a hundred.
        share: Which part was over within the objective; None if none was.
        counts: How many count as what.
        unchecked: How many are known from the record of the run alone.
    """

    spells: int
    p50_hours: float | None
    p95_hours: float | None
    share: float | None
    counts: dict[str, int]
    unchecked: int


class SpellShown(Value, frozen=True):
    """A time in which a task stands on an old base.

    Attributes:
        task: REGISTRY/TASK.
        base: The tag that moved.
        digest: What it names now.
        policy: The policies that apply; None for none.
        since: When the first digest came; None if that is not known.
        hours: For how many hours; None if that is not known.
        held_hours: For how many of them operators held it.
        counts_as: How it counts.
        why: Why it goes on.
        sentence: The evidence.
    """

    task: str
    base: str
    digest: str
    policy: str | None
    since: datetime | None
    hours: float | None
    held_hours: float
    counts_as: str
    why: str
    sentence: str


class Unknown(Value, frozen=True):
    """A task of which nobody knows what it stands on.

    Attributes:
        task: The task.
        base: The tag.
        reason: Why.
    """

    task: str
    base: str
    reason: str


@prepared
class Report(Value, frozen=True):
    """How quickly images come to stand on new bases.

    Attributes:
        now: When this was worked out.
        since: The beginning of the span.
        objective_hours: How soon an image is to stand on a new base.
        all: What became of all of it.
        by: The same by day, by base and by policy.
        behind: What stands on an old base now, the longest first; the first of it.
        behind_count: How much that is.
        unknown: Of which nobody knows; the first of it.
        unknown_count: How much that is.
    """

    now: datetime
    since: datetime
    objective_hours: float
    all: Counted
    by: dict[str, dict[str, Counted]]
    behind: tuple[SpellShown, ...]
    behind_count: int
    unknown: tuple[Unknown, ...]
    unknown_count: int


class _Kept(Struct):
    at: datetime
    report: Report


class Reports:
    """Works reports out, one at a time; what was worked out lately is told again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, int], _Kept] = {}
        self._remembered = Remembered()

    def report(self, context: Context, days: int, objective_minutes: int) -> Report:
        """Return a report.

        Args:
            context: The ports.
            days: How many days back.
            objective_minutes: How soon an image is to stand on a new base; 0 for what is usual.

        Raises:
            TransientError: The store cannot be reached.
        """
        wanted = (days, objective_minutes)
        with self._lock:
            kept, now = self._kept.get(wanted), context.now()
            if kept is None or age(kept.at, now) >= FRESH:
                self._kept = {
                    key: each for key, each in self._kept.items() if age(each.at, now) < FRESH
                }
                kept = self._kept[wanted] = _Kept(
                    now, _worked_out(context, *wanted, self._remembered)
                )
            return kept.report


def _worked_out(
    context: Context, days: int, objective_minutes: int, remembered: Remembered
) -> Report:
    objective = timedelta(minutes=objective_minutes) if objective_minutes else None
    found = summary(context, days=days, objective=objective, remembered=remembered)
    record = summary_record(found, _SHOWN)
    counted = {
        **record,
        "behind": [{**spell, "task": _name(spell["task"])} for spell in record["behind"]],
        "behindCount": len(found.behind),
        "unknown": [{**each, "task": _name(each["task"])} for each in record["unknown"]],
        "unknownCount": len(found.unknown),
    }
    return msgspec.convert(counted, Report)


def _name(task: str) -> str:
    parts = task.split("/")
    return f"{parts[-3]}/{parts[-1]}"
