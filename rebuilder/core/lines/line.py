"""The line: which rebuilds have a place, and which wait for one in which order.

It is kept by compare-and-swap, so that of any number of instances that give places out, none gives
one too many. A place belongs to a rebuild and to no process: a rebuild that is claimed, or whose
run goes on, has it; one that is over has none, whatever is written here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from copy import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Any

import msgspec
from msgspec import Struct

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.lines.rooms import LimitReached, LowerPriority, NoPlace
from rebuilder.core.structs import prepared
from rebuilder.core.times import ahead

AGING = timedelta(minutes=1)
"""How much longer one has to have waited to come before one whose priority is higher by one."""

GRACE = timedelta(minutes=2)
"""How long a place is kept for one who was told that it is their turn."""

KEPT = 500
"""How many who wait for the same are kept here; the others are known by their records."""

_FEW = KEPT // 4

_LENGTHS = 20
"""Of how many that were over last it is kept how long they took."""

type Limits = Mapping[str, int]
"""How many places each room has; one that is not named has any number."""


class Holder(Struct, frozen=True):
    """A rebuild that has a place.

    Attributes:
        task: Its task.
        sequence: Which rebuild of the task.
        rooms: The rooms that it has a place in.
        version: The version of its record when it took the place.
    """

    task: TaskId
    sequence: int
    rooms: tuple[str, ...]
    version: int = 0


class Waiter(Struct, frozen=True):
    """A rebuild that waits for a place.

    Attributes:
        task: Its task.
        sequence: Which rebuild of the task.
        rooms: The rooms that it needs a place in, all at once.
        rank: Who comes first: the earlier.
        priority: Its priority.
        asked: When it last asked for one; None if that is long ago.
        woken: When it was told that it is its turn; None if it was not.
    """

    task: TaskId
    sequence: int
    rooms: tuple[str, ...]
    rank: datetime
    priority: int
    asked: datetime | None = None
    woken: datetime | None = None


def rank(since: datetime, priority: int) -> datetime:
    """Return the rank of what waits since a time.

    Whoever waits gains a point of priority with each AGING, so the order of any two stays what it
    is, and nobody waits behind those who come more than 100 of them later.
    """
    # Not more exact than it is written.
    return (since - priority * AGING).replace(microsecond=0)


class Line(Struct, frozen=True):
    """Who has a place, and who waits.

    Attributes:
        holders: Those who have a place.
        waiters: Those who wait, the next one first.
        more: Whether others wait who are not kept here.
        checked: When it was last looked at whether those who have a place are still under way.
        took: How long those took that succeeded last, in seconds, the last one first.
    """

    holders: tuple[Holder, ...] = ()
    waiters: tuple[Waiter, ...] = ()
    more: bool = False
    checked: datetime | None = None
    took: tuple[int, ...] = ()

    @property
    def short(self) -> bool:
        """Whether those who wait and are not kept here are to be looked for."""
        return self.more and len(self.waiters) < _FEW

    def ask(
        self, wanted: Waiter, limits: Limits, now: datetime, version: int = 0
    ) -> tuple[Line, NoPlace | None]:
        """Ask for a place without taking it; who is refused waits for it from then on.

        Args:
            wanted: What for, and by whom.
            limits: How many places there are.
            now: The time.
            version: The record's version that asks; of a later one the place is kept, for whoever
                is slow may ask for what another has claimed since.
        """
        used = _used(self)
        if self._has(wanted) and all(used[r] <= limits.get(r, used[r]) for r in wanted.rooms):
            return self, None
        # So may the place of the task's next rebuild be.
        others = self.without(wanted.task, wanted.sequence, version)
        used = _used(others)
        for room in wanted.rooms:
            if room in limits and used[room] >= limits[room]:
                found = LimitReached(room, wanted.rooms, wanted.priority, limits[room])
                return others.waiting(wanted), found
        first = _next(others, limits, now, before=wanted)
        for waiter in first:
            used.update(waiter.rooms)
        for room in wanted.rooms:
            if room in limits and used[room] >= limits[room]:
                count = sum(room in waiter.rooms for waiter in first)
                return others.waiting(wanted), LowerPriority(
                    room, wanted.rooms, wanted.priority, count
                )
        return self, None

    def take(
        self, wanted: Waiter, limits: Limits, now: datetime, version: int = 0
    ) -> tuple[Line, NoPlace | None]:
        """Take a place, as `ask` asks for one; the version is that of the claimed record."""
        line, refused = self.ask(wanted, limits, now, version)
        if refused is not None:
            return line, refused
        # Of two that have claimed it one after the other, whoever is slow does not make it older.
        versions = (held.version for held in line.holders if _same(held, wanted))
        holder = Holder(wanted.task, wanted.sequence, wanted.rooms, max(version, *versions, 0))
        if holder in line.holders:
            return line, None
        others = line.without(wanted.task, wanted.sequence)
        return replace(others, holders=(*others.holders, holder)), None

    def without(self, task: TaskId, last: int | None = None, version: int | None = None) -> Line:
        """The line without a task, which neither has a place nor waits.

        Args:
            task: The task.
            last: The sequence of its last rebuild that is left out; later ones stay. None for all.
            version: Up to which version of that rebuild's record a place is left out: who has seen
                this one knows nothing of a place that was taken later. None for every version.
        """

        def later(entry: Holder | Waiter) -> bool:
            if last is None or entry.sequence != last:
                return last is not None and entry.sequence > last
            return isinstance(entry, Holder) and version is not None and entry.version > version

        def stays(entry: Holder | Waiter) -> bool:
            return entry.task != task or later(entry)

        return replace(
            self,
            holders=tuple(filter(stays, self.holders)),
            waiters=tuple(filter(stays, self.waiters)),
        )

    def ended(self, task: TaskId, last: int, version: int, took: timedelta | None) -> Line:
        """The line once a rebuild is over.

        Args:
            task: Its task.
            last: Its sequence.
            version: The version of its record that says so.
            took: How long it took; None if that tells nothing.
        """
        left = self.without(task, last, version)
        if took is None or left.holders == self.holders:
            return left
        return replace(left, took=(int(took.total_seconds()), *self.took)[:_LENGTHS])

    def awaited(self, task: TaskId) -> bool:
        """Tell whether others wait for a place that a task has."""
        mine = {room for holder in self.holders if holder.task == task for room in holder.rooms}
        return any(not mine.isdisjoint(waiter.rooms) for waiter in self.waiters)

    def not_waiting(self, tasks: Collection[TaskId]) -> Line:
        """The line in which some tasks do not wait; what places they have, they keep."""
        waiters = tuple(waiter for waiter in self.waiters if waiter.task not in tasks)
        return replace(self, waiters=waiters)

    def waiting(self, *more: Waiter) -> Line:
        """The line in which others wait, too; of those who need the same, as many as are kept."""
        known = {waiter.task for waiter in self.waiters}
        new = [waiter for waiter in more if waiter.task not in known]
        if not new:
            return self
        kept, counts = [], Counter[tuple[str, ...]]()
        for waiter in sorted((*self.waiters, *new), key=_order):
            counts[waiter.rooms] += 1
            if counts[waiter.rooms] <= KEPT:
                kept.append(waiter)
        dropped = len(kept) < len(self.waiters) + len(new)
        return replace(self, waiters=tuple(kept), more=self.more or dropped)

    def over(self, holders: Collection[Holder], now: datetime) -> Line:
        """The line once it is known that some who have a place are not under way any more."""
        left = tuple(holder for holder in self.holders if holder not in holders)
        return replace(self, holders=left, checked=now)

    def wake(self, limits: Limits, now: datetime) -> tuple[Line, tuple[Waiter, ...]]:
        """Return who is to be told that it is their turn, and the line once they are."""
        woken = tuple(w for w in _next(self, limits, now) if w.woken is None or _late(w, now))
        if not woken:
            return self, ()
        told = tuple(replace(w, woken=now) if w in woken else w for w in self.waiters)
        return replace(self, waiters=told), woken

    def _has(self, wanted: Waiter) -> bool:
        return any(_same(held, wanted) for held in self.holders)

    def write(self) -> str:
        """Write it as text; names that stand there often are written once."""
        registries, rooms = _Table(), _Table()

        def row(found: Holder | Waiter) -> list[Any]:
            task = found.task
            numbers = registries.number(task.registry), rooms.number(found.rooms)
            return [*numbers, task.name, found.sequence]

        values: dict[str, Any] = {
            "holders": [row(holder) for holder in self.holders],
            # Beside them, so that whoever does not know of versions reads the rest.
            "versions": [holder.version for holder in self.holders],
            "waiters": [
                [*row(w), _number(w.rank), w.priority, _number(w.asked), _number(w.woken)]
                for w in self.waiters
            ],
            "more": self.more,
            "checked": _number(self.checked),
            "took": self.took,
        }
        names = {"registries": [str(r) for r in registries.values], "rooms": rooms.values}
        return msgspec.json.encode({**names, **values}).decode()

    @classmethod
    def read(cls, text: str) -> Line:
        """Read what `write` wrote; nobody is in a line of which nothing is written.

        Raises:
            ValueError: It is none.
        """
        if not text:
            return cls()
        found = msgspec.json.decode(text, type=_Written)
        registries = [RegistryId.parse(name) for name in found.registries]
        try:
            return cls(
                tuple(
                    Holder(TaskId(registries[r], name), sequence, found.rooms[rooms], version)
                    for (r, rooms, name, sequence), version in zip(
                        found.holders, chain(found.versions, repeat(0)), strict=False
                    )
                ),
                tuple(
                    Waiter(
                        TaskId(registries[r], name),
                        sequence,
                        found.rooms[rooms],
                        datetime.fromtimestamp(rank, UTC),
                        priority,
                        _time(asked),
                        _time(woken),
                    )
                    for r, rooms, name, sequence, rank, priority, asked, woken in found.waiters
                ),
                found.more,
                _time(found.checked),
                found.took,
            )
        except IndexError as error:
            raise ValueError(f"a line that is cut off: {error}") from error


def _same(held: Holder, wanted: Waiter) -> bool:
    """Tell whether a place is the one that is wanted."""
    asked = wanted.task, wanted.sequence, wanted.rooms
    return (held.task, held.sequence, held.rooms) == asked


def _order(waiter: Waiter) -> tuple[datetime, TaskId]:
    """Return what tells who comes first: of those who came at once always the same."""
    return waiter.rank, waiter.task


def _used(line: Line) -> Counter[str]:
    return Counter(room for holder in line.holders for room in holder.rooms)


def _next(line: Line, limits: Limits, now: datetime, before: Waiter | None = None) -> list[Waiter]:
    """Return those who wait and could take a place, each after the ones before it.

    Whoever was told and did not come comes after all the others.

    Args:
        line: The line.
        limits: How many places there are.
        now: The time.
        before: Whom they are to come before; those who did not come, do not.
    """
    used, found = _used(line), list[Waiter]()
    prompt = [waiter for waiter in line.waiters if not _late(waiter, now)]
    if before is None:
        prompt += [waiter for waiter in line.waiters if _late(waiter, now)]
    for waiter in prompt:
        if before is not None and _order(waiter) >= _order(before):
            break
        if all(used[room] < limits.get(room, used[room] + 1) for room in waiter.rooms):
            used.update(waiter.rooms)
            found.append(waiter)
    return found


@prepared
class _Written(Struct):
    registries: list[str]
    rooms: list[tuple[str, ...]]
    holders: list[tuple[int, int, str, int]]
    waiters: list[tuple[int, int, str, int, int, int, int | None, int | None]]
    more: bool
    checked: int | None
    took: tuple[int, ...] = ()
    versions: tuple[int, ...] = ()


class _Table:
    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def number(self, value: object) -> int:
        """Return the number of a value in the table."""
        if value not in self._numbers:
            self._numbers[value] = len(self.values)
            self.values.append(value)
        return self._numbers[value]


def _late(waiter: Waiter, now: datetime) -> bool:
    """Tell whether one who was told that it is their turn did not come in time."""
    woken = waiter.woken
    # A time that lies ahead is of a clock that is wrong, and nobody waits for it.
    return woken is not None and (now - woken > GRACE or ahead(woken, now))


def _number(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp())


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
