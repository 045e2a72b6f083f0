"""Figures of staleness: how quickly tasks caught up with their bases, and what share in time."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain

from msgspec import Struct

from rebuilder.core.staleness.spells import Spell, Why
from rebuilder.core.staleness.sums import MICROSECOND, Sum, Totalled, flat, summed

OBJECTIVE = timedelta(hours=4)
"""How soon an image is to stand on a new base, unless somebody says otherwise."""

NO_POLICY = "(none)"

_SORTED = 2000
"""Of more lengths, a percentile is looked for, and they are not put in order."""


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
    going = [spell for spell in spells if not spell.over]
    over = summed(spell for spell in spells if spell.over)
    return counted([over], going, objective, now)


def counted(
    over: Collection[Sum], going: Iterable[Spell], objective: timedelta, now: datetime
) -> Figures:
    """Count spells that are over by their sums, and those that go on one by one."""
    limit = objective // MICROSECOND
    spells = within = held = unknown = unchecked = 0
    for one in over:
        spells += one.spells
        unknown += one.unknown
        unchecked += one.unchecked
        within += bisect_right(one.lengths, limit)
        for length, paused in one.held:
            within += length <= limit
            held += length - paused <= limit < length
    counts = dict.fromkeys(Judged, 0) | {
        Judged.WITHIN: within,
        Judged.LATE: spells - within - held - unknown,
        Judged.HELD: held,
        Judged.UNKNOWN: unknown,
    }
    for spell in going:
        counts[judged(spell, objective, now)] += 1
        spells += 1
    p50, p95 = percentiles([one.lengths for one in over if one.lengths], (50, 95))
    return Figures(spells, counts, p50, p95, unchecked)


def percentiles(
    lengths: Sequence[Sequence[int]], parts: Iterable[int]
) -> Iterator[timedelta | None]:
    """Yield the lengths within which so many of a hundred are (nearest rank); None of nothing.

    Args:
        lengths: Lengths in microseconds, in lists that each ascend.
        parts: How many of a hundred.
    """
    many = sum(map(len, lengths))
    ordered: Sequence[int] | None = lengths[0] if len(lengths) == 1 else None
    if ordered is None and many <= _SORTED:
        ordered = sorted(chain.from_iterable(lengths))
    for part in parts:
        rank = math.ceil(many * part / 100)
        if not many:
            yield None
        elif ordered is not None:
            yield ordered[rank - 1] * MICROSECOND
        else:
            yield _ranked(lengths, rank) * MICROSECOND


def _ranked(lengths: Sequence[Sequence[int]], rank: int) -> int:
    """Return the length of a rank, from 1, without putting them all in order."""
    low, high = min(each[0] for each in lengths), max(each[-1] for each in lengths)
    while low < high:
        middle = (low + high) // 2
        if sum(bisect_right(each, middle) for each in lengths) >= rank:
            high = middle
        else:
            low = middle + 1
    return low


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


def tables(
    sums: Iterable[Totalled],
    since: str,
    going: Iterable[Spell],
    objective: timedelta,
    now: datetime,
) -> tuple[Figures, dict[str, dict[str, Figures]]]:
    """Count everything, and the same by each of GROUPS, each in its order.

    Args:
        sums: The sums of what is over; those of a day may be in several parts.
        since: The first day that counts.
        going: What is not over.
        objective: How soon an image is to stand on a new base.
        now: The time now.
    """
    open_ = list(going)
    parts: dict[str, dict[str, list[Sum]]] = {name: {} for name in GROUPS}
    for each in sums:
        for day, base, _, one in flat(each.days):
            if day >= since:
                parts["base"].setdefault(base, []).append(one)
        for day, policy, one in each.cells():
            if day >= since:
                parts["day"].setdefault(day, []).append(one)
                parts["policy"].setdefault(policy or NO_POLICY, []).append(one)
    found: dict[str, dict[str, Figures]] = {}
    for name, key in GROUPS.items():
        spells: dict[str, list[Spell]] = {}
        for spell in open_:
            spells.setdefault(key(spell), []).append(spell)
        found[name] = {
            group: counted(parts[name].get(group, ()), spells.get(group, ()), objective, now)
            for group in sorted({*parts[name], *spells})
        }
    every = [one for some in parts["day"].values() for one in some]
    return counted(every, open_, objective, now), found
