"""Figures of staleness: how quickly tasks caught up with their bases, and what share in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from rebuilder.core.staleness.spells import Spell, Why

OBJECTIVE = timedelta(hours=4)
"""How soon an image is to stand on a new base, unless somebody says otherwise."""

NO_POLICY = "(none)"


class Judged(StrEnum):
    """How a spell counts."""

    WITHIN = "within"  # it was over within the objective
    LATE = "late"  # it took longer, or does so far, and operators' holds do not account for it
    HELD = "held"  # it took longer, and without what operators held it would not have
    OPEN = "open"  # it is not over, and the objective is not missed yet
    LEFT = "left alone"  # nothing is to be built, for a reason that is recorded
    UNKNOWN = "unknown"  # when it began or ended is not recorded


class Figures(Struct, frozen=True):
    """What became of some spells.

    Attributes:
        spells: How many there were.
        counts: How many of them count as what.
        p50: The time within which half of those that are over, and that nobody held, were over;
            None if there is none.
        p95: The same for 95 of a hundred.
        unchecked: How many that are over are known from the record of the run alone.
    """

    spells: int
    counts: Mapping[Judged, int]
    p50: timedelta | None
    p95: timedelta | None
    unchecked: int

    @property
    def share(self) -> float | None:
        """Which part was over within the objective, of what was or was late; None if none was."""
        within, late = self.counts[Judged.WITHIN], self.counts[Judged.LATE]
        return within / (within + late) if within + late else None


def judged(spell: Spell, objective: timedelta, now: datetime) -> Judged:
    """Tell how a spell counts."""
    if spell.why is Why.LEFT:
        return Judged.LEFT
    length = spell.length(now)
    if length is None:
        return Judged.UNKNOWN
    if length <= objective:
        return Judged.WITHIN if spell.over else Judged.OPEN
    return Judged.HELD if length - spell.held <= objective else Judged.LATE


def figures(spells: Sequence[Spell], objective: timedelta, now: datetime) -> Figures:
    """Count spells."""
    counts = dict.fromkeys(Judged, 0)
    for spell in spells:
        counts[judged(spell, objective, now)] += 1
    lengths = sorted(
        length
        for spell in spells
        if spell.over and not spell.held and (length := spell.length(now)) is not None
    )
    return Figures(
        len(spells),
        counts,
        percentile(lengths, 50),
        percentile(lengths, 95),
        sum(1 for spell in spells if spell.why is Why.CAUGHT_UP and not spell.checked),
    )


def percentile(ordered: Sequence[timedelta], part: int) -> timedelta | None:
    """Return the value within which so many of a hundred are (nearest rank); None of nothing."""
    return ordered[math.ceil(len(ordered) * part / 100) - 1] if ordered else None


def by[Key: str](
    key: Callable[[Spell], Key], spells: Iterable[Spell], objective: timedelta, now: datetime
) -> dict[Key, Figures]:
    """Count spells by something of them, in its order."""
    groups: dict[Key, list[Spell]] = {}
    for spell in spells:
        groups.setdefault(key(spell), []).append(spell)
    return {name: figures(groups[name], objective, now) for name in sorted(groups)}


def day_of(spell: Spell) -> str:
    """The day, in UTC, on which a spell began; where that is not known, on which it was told."""
    return (spell.since or spell.told).astimezone(UTC).date().isoformat()


def base_of(spell: Spell) -> str:
    """The tag that moved."""
    return spell.base


def policy_of(spell: Spell) -> str:
    """The policies that apply to the task."""
    return spell.policy or NO_POLICY


GROUPS: Mapping[str, Callable[[Spell], str]] = {
    "day": day_of,
    "base": base_of,
    "policy": policy_of,
}
"""What spells are counted by."""
