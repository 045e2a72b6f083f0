"""Sums of spells that are over: enough to count them by any objective, without the spells.

What is over depends neither on the time nor on the objective, so the spells of a day that are over
can be summed once. Lengths are kept and not counts: whoever asks names the objective, and a
percentile of percentiles is none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import chain

from msgspec import Struct

from rebuilder.core.staleness.spells import Spell, Why
from rebuilder.core.structs import prepared

MICROSECOND = timedelta(microseconds=1)


class Sum(Struct, frozen=True, array_like=True):
    """What is known of some spells that are over.

    Attributes:
        spells: How many there are.
        unknown: Of how many the length is not known.
        unchecked: How many are known from the record of the run alone.
        lengths: How long those were that nobody held, in microseconds, ascending.
        held: How long each of the others was, and for how much of it operators held it.
    """

    spells: int = 0
    unknown: int = 0
    unchecked: int = 0
    lengths: tuple[int, ...] = ()
    held: tuple[tuple[int, int], ...] = ()


type Groups = Mapping[str, Mapping[str, Sum]]
"""Sums by base, and by the policies that apply."""

type Days = Mapping[str, Groups]
"""The same by the day on which the spells began."""

type Row = tuple[str, str, str, Sum]
"""A sum, after its day, base and policy."""

type Cell = tuple[str, str, Sum]
"""The sum of all bases, after its day and policy."""


@prepared
class Totalled(Struct, frozen=True, array_like=True):
    """Sums, and what they come to.

    Attributes:
        days: The sums.
        totals: By day and policy, of all bases: to put many lists in order takes whoever writes
            as long as whoever reads, who is waited for.
    """

    days: dict[str, dict[str, dict[str, Sum]]]
    totals: dict[str, dict[str, Sum]]

    def cells(self) -> Iterator[Cell]:
        """Yield the totals."""
        for day, policies in self.totals.items():
            for policy, one in policies.items():
                yield day, policy, one


def summed(spells: Iterable[Spell]) -> Sum:
    """Sum up spells that are over; the end of one that is over asks for no time now."""
    count = unknown = unchecked = 0
    lengths: list[int] = []
    held: list[tuple[int, int]] = []
    for spell in spells:
        count += 1
        unchecked += spell.why is Why.CAUGHT_UP and not spell.checked
        length = spell.lasted
        if length is None:
            unknown += 1
        elif spell.held:
            held.append((length // MICROSECOND, spell.held // MICROSECOND))
        else:
            lengths.append(length // MICROSECOND)
    return Sum(count, unknown, unchecked, tuple(sorted(lengths)), tuple(sorted(held)))


def total(sums: Iterable[Sum]) -> Sum:
    """Return the sum of sums."""
    every = list(sums)
    if len(every) == 1:
        return every[0]
    return Sum(
        sum(one.spells for one in every),
        sum(one.unknown for one in every),
        sum(one.unchecked for one in every),
        tuple(sorted(chain.from_iterable(one.lengths for one in every))),
        tuple(sorted(chain.from_iterable(one.held for one in every if one.held))),
    )


def by_day(spells: Iterable[tuple[str, Spell]]) -> dict[str, dict[str, dict[str, Sum]]]:
    """Sum up spells that are over by day, base and policy.

    Args:
        spells: The spells, each with its day.
    """
    parts: dict[tuple[str, str, str], list[Spell]] = {}
    for day, spell in spells:
        parts.setdefault((day, spell.base, spell.policy), []).append(spell)
    found: dict[str, dict[str, dict[str, Sum]]] = {}
    for day, base, policy in sorted(parts):
        found.setdefault(day, {}).setdefault(base, {})[policy] = summed(parts[day, base, policy])
    return found


def totalled(days: dict[str, dict[str, dict[str, Sum]]]) -> Totalled:
    """Return sums with what they come to."""
    parts: dict[tuple[str, str], list[Sum]] = {}
    for day, _, policy, one in flat(days):
        parts.setdefault((day, policy), []).append(one)
    totals: dict[str, dict[str, Sum]] = {}
    for day, policy in sorted(parts):
        totals.setdefault(day, {})[policy] = total(parts[day, policy])
    return Totalled(days, totals)


def merged(first: Days, second: Days) -> dict[str, dict[str, dict[str, Sum]]]:
    """Return the sums of both."""
    parts: dict[tuple[str, str, str], list[Sum]] = {}
    for days in (first, second):
        for day, base, policy, one in flat(days):
            parts.setdefault((day, base, policy), []).append(one)
    found: dict[str, dict[str, dict[str, Sum]]] = {}
    for day, base, policy in sorted(parts):
        found.setdefault(day, {}).setdefault(base, {})[policy] = total(parts[day, base, policy])
    return found


def without(days: Days, bases: Collection[str]) -> Days:
    """Return the sums of all other bases."""
    return _chosen(days, lambda base: base not in bases)


def only(days: Days, bases: Collection[str]) -> Days:
    """Return the sums of these bases."""
    return _chosen(days, lambda base: base in bases)


def _chosen(days: Days, wanted: Callable[[str], bool]) -> Days:
    chosen = {
        day: {base: policies for base, policies in groups.items() if wanted(base)}
        for day, groups in days.items()
    }
    return {day: groups for day, groups in chosen.items() if groups}


def flat(days: Days) -> Iterator[Row]:
    """Yield each sum after its day, base and policy."""
    for day, groups in days.items():
        for base, policies in groups.items():
            for policy, one in policies.items():
                yield day, base, policy, one
