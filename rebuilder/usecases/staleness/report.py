"""How long tasks stood and stand on old bases: by what is kept, and spell by spell by the ledger.

A span begins with a whole day in UTC: figures of a part of a day would not be those of the day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from rebuilder.core.staleness.figures import GROUPS, Figures, Judged, by, figures, judged, tables
from rebuilder.core.staleness.spells import Spell
from rebuilder.core.times import age
from rebuilder.usecases.catch_up.missed import followers
from rebuilder.usecases.context import Context
from rebuilder.usecases.staleness.kept import Kept, read_kept
from rebuilder.usecases.staleness.policies import names_by, objective_of, policies_of
from rebuilder.usecases.staleness.walk import Unknown, walk

FRESH = timedelta(minutes=20)
"""How old what is kept may be; older than that, it is worked out of the ledger: nobody sums up."""


class Summary(Struct, frozen=True):
    """What stands on old bases, and how quickly others caught up in a time span.

    Attributes:
        now: When it was worked out.
        since: The beginning of the span, a midnight in UTC.
        objective: How soon an image is to stand on a new base.
        all: What became of every spell that began in the span or goes on.
        by: The same by day, base and policy.
        behind: What goes on, the longest first; what is left alone among it.
        unknown: Tasks of which nobody knows what they stand on, each with the tag and why.
        kept: Whether that is what was summed up at `now`, and the ledger was not read since.
    """

    now: datetime
    since: datetime
    objective: timedelta
    all: Figures
    by: Mapping[str, Mapping[str, Figures]]
    behind: tuple[Spell, ...]
    unknown: tuple[Unknown, ...]
    kept: bool = False

    @property
    def late(self) -> tuple[Spell, ...]:
        """What goes on beyond the objective, not held by policy."""
        return _late(self.behind, self.objective, self.now)


class Staleness(Struct, frozen=True):
    """Every time in which a task stood on an old base.

    Attributes:
        now: When it was worked out.
        since: The beginning of the span, a midnight in UTC.
        objective: How soon an image is to stand on a new base.
        spells: Every spell that began in the span or goes on, oldest first.
        unknown: Tasks of which nobody knows what they stand on, each with the tag and why.
    """

    now: datetime
    since: datetime
    objective: timedelta
    spells: tuple[Spell, ...]
    unknown: tuple[Unknown, ...] = ()

    @property
    def behind(self) -> tuple[Spell, ...]:
        """What goes on, the longest first; what is left alone among it."""
        return _behind((spell for spell in self.spells if not spell.over), self.now)

    @property
    def late(self) -> tuple[Spell, ...]:
        """What goes on beyond the objective, not held by policy."""
        return _late(self.behind, self.objective, self.now)

    @property
    def figures(self) -> Figures:
        """What became of all of it."""
        return figures(self.spells, self.objective, self.now)

    @property
    def summary(self) -> Summary:
        """What it comes to."""
        groups = {n: by(key, self.spells, self.objective, self.now) for n, key in GROUPS.items()}
        return Summary(
            *(self.now, self.since, self.objective, self.figures, groups),
            *(self.behind, self.unknown),
        )


class Remembered(Struct):
    """What was read last of what is kept: whoever asks again before the next run reads it once.

    Attributes:
        kept: What was read.
    """

    kept: Kept | None = None


def summary(
    context: Context,
    *,
    days: int = 7,
    objective: timedelta | None = None,
    remembered: Remembered | None = None,
) -> Summary:
    """Tell how long tasks stood and stand on old bases, by what is kept.

    Where nobody has summed up lately, or not so far back, it is worked out of the ledger.

    Args:
        context: The ports. Neither ARM nor a registry is asked, but for a login server once.
        days: How many days back spells may have begun, and the rest of the first of them; those
            that go on are told however old.
        objective: How soon an image is to stand on a new base; by default what the policy file
            says, or else OBJECTIVE.
        remembered: What whoever asks has read before; one thread at a time uses it.

    Raises:
        TransientError: The store cannot be reached.
    """
    now = context.now()
    known = Remembered() if remembered is None else remembered
    known.kept = kept = read_kept(context, _since(now, days).date(), known.kept)
    if kept is None or age(kept.head.at, now) > FRESH:
        return staleness(context, days=days, objective=objective).summary
    return _of_kept(context, kept, days, objective)


def _of_kept(context: Context, kept: Kept, days: int, objective: timedelta | None) -> Summary:
    at, going = kept.head.at, kept.going
    since = _since(at, days)
    first = since.date().isoformat()
    sums = [told for day, told in kept.days.items() if day >= first]
    goal = objective or objective_of(policies_of(context))
    every, groups = tables(sums, first, going.spells, goal, at)
    behind = _behind(going.spells, at)
    return Summary(at, since, goal, every, groups, behind, going.unknown, kept=True)


def staleness(context: Context, *, days: int = 7, objective: timedelta | None = None) -> Staleness:
    """Work out of the ledger how long tasks stood and stand on old bases, spell by spell.

    It reads every task that was behind in the span; for arguments see `summary`.

    Raises:
        TransientError: The store cannot be reached.
    """
    now = context.now()
    since = _since(now, days)
    policies = policies_of(context)
    walked = walk(context, followers(context), since, now, names_by(policies))
    found = [s for s in walked.spells if not s.over or (s.since or s.told) >= since]
    goal = objective or objective_of(policies)
    return Staleness(now, since, goal, _oldest_first(found), tuple(sorted(walked.unknown)))


def _oldest_first(spells: Iterable[Spell]) -> tuple[Spell, ...]:
    return tuple(sorted(spells, key=lambda s: (s.since or s.told, s.name, s.base)))


def _behind(going: Iterable[Spell], now: datetime) -> tuple[Spell, ...]:
    # Those of which nobody knows since when come first.
    far = timedelta.max
    ordered = _oldest_first(going)
    return tuple(sorted(ordered, key=lambda s: s.length(now) or far, reverse=True))


def _late(behind: Iterable[Spell], objective: timedelta, now: datetime) -> tuple[Spell, ...]:
    return tuple(spell for spell in behind if judged(spell, objective, now) is Judged.LATE)


def _since(now: datetime, days: int) -> datetime:
    day = (now - timedelta(days=days)).astimezone(UTC)
    return day.replace(hour=0, minute=0, second=0, microsecond=0)


def to_record(found: Staleness) -> dict[str, Any]:
    """Return it as JSON values."""
    return {
        **summary_record(found.summary),
        "spells": [spell_record(found, spell) for spell in found.spells],
    }


def summary_record(found: Summary, most: int | None = None) -> dict[str, Any]:
    """Return a summary as JSON values.

    Args:
        found: The summary.
        most: How much of what is behind, and of what is unknown, is told; None for all of it.
    """
    return {
        "now": _time(found.now),
        "since": _time(found.since),
        "objectiveHours": _hours(found.objective),
        "all": _figures(found.all),
        "by": {
            name: {group: _figures(counted) for group, counted in groups.items()}
            for name, groups in found.by.items()
        },
        "behind": [spell_record(found, spell) for spell in found.behind[:most]],
        "unknown": [
            {"task": str(task), "base": base, "reason": reason}
            for task, base, reason in found.unknown[:most]
        ],
    }


def _figures(counted: Figures) -> dict[str, Any]:
    return {
        "spells": counted.spells,
        "p50Hours": _hours(counted.p50),
        "p95Hours": _hours(counted.p95),
        "share": counted.share,
        "counts": {judged.value: number for judged, number in counted.counts.items()},
        "unchecked": counted.unchecked,
    }


def spell_record(found: Summary | Staleness, spell: Spell) -> dict[str, Any]:
    """Return a spell as JSON values."""
    return {
        "task": str(spell.task),
        "base": spell.base,
        "digest": spell.digest,
        "policy": spell.policy or None,
        "since": _time(spell.since),
        "until": _time(spell.until),
        "hours": _hours(spell.length(found.now)),
        "heldHours": _hours(spell.held),
        "countsAs": judged(spell, found.objective, found.now).value,
        "why": spell.why.value,
        "sentence": spell.sentence,
        "rebuild": None if spell.rebuild is None else spell.rebuild.id,
        "runId": None if spell.rebuild is None else spell.rebuild.run_id,
        "checked": spell.checked,
    }


def _hours(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds() / 3600, 4)


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
