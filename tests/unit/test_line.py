"""The line: places by compare-and-swap, in the order of priority and of waiting."""

from __future__ import annotations

from copy import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.lines import line as module
from rebuilder.core.lines.line import GRACE, Holder, Line, Waiter, rank
from rebuilder.core.lines.rooms import LimitReached, LowerPriority
from tests.unit.policies.making import NOW

REGISTRY = RegistryId("s1", "g", "prodregistry")
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
ONE = {"a": 1}


def who(name: str, priority: int = 50, since: int = 0, rooms: tuple[str, ...] = ("a",)) -> Waiter:
    """Return one that waits since some minute."""
    at = NOW + since * MINUTE
    return Waiter(TaskId(REGISTRY, name), 1, rooms, rank(at, priority), priority, asked=at)


def names(waiters: tuple[Waiter, ...]) -> list[str]:
    """Return their names."""
    return [waiter.task.name for waiter in waiters]


def names_of(line: Line) -> list[str]:
    """Return the names of those who have a place."""
    return [holder.task.name for holder in line.holders]


def taken(*waiters: Waiter, limits: dict[str, int] | None = None) -> Line:
    """Return a line in which some have asked for a place, one after the other."""
    line = Line()
    for waiter in waiters:
        line, _ = line.take(waiter, ONE if limits is None else limits, NOW)
    return line


def test_there_are_as_many_places_as_the_limit_says() -> None:
    """Who has one keeps it, however often it asks; the next one waits."""
    line, refused = taken(who("x")).take(who("y"), ONE, NOW)
    assert refused == LimitReached("a", ("a",), 50, 1)
    assert line.take(who("x"), ONE, NOW) == (line, None)
    assert (names(line.waiters), len(line.holders)) == (["y"], 1)
    again, refused = line.ask(who("y"), ONE, NOW)
    assert (again, isinstance(refused, LimitReached)) == (line, True)


def test_a_place_is_kept_for_whoever_comes_first() -> None:
    """By priority, and by how long they have waited; who is told is told once."""
    line = taken(who("x"), who("low", 49), who("high", 60, since=9), who("late", since=2))
    assert names(line.waiters) == ["high", "low", "late"]
    line, woken = line.without(who("x").task).wake(ONE, NOW)
    assert names(woken) == ["high"]
    assert line.wake(ONE, NOW) == (line, ())
    line, refused = line.take(who("new", 55, since=10), ONE, NOW)
    assert refused == LowerPriority("a", ("a",), 55, 1)
    assert "1 that wait for a place in a" in refused.sentence()
    line, refused = line.take(who("urgent", 100, since=10), ONE, NOW)
    assert refused is None


def test_who_does_not_come_is_not_waited_for() -> None:
    """Others go first; and if there are none, it is told again."""
    line, _ = taken(who("x"), who("gone")).without(who("x").task).wake(ONE, NOW)
    later = NOW + GRACE + MINUTE
    assert line.ask(who("y", since=1), ONE, NOW)[1] is not None
    assert line.ask(who("y", since=1), ONE, later)[1] is None
    assert names(line.wake(ONE, later)[1]) == ["gone"]
    other = line.waiting(who("other", since=2))
    assert names(other.wake(ONE, later)[1]) == ["other"]
    wrong = NOW - 10 * MINUTE  # it was told by a clock that was ahead
    assert line.ask(who("y", since=1), ONE, wrong)[1] is None


def test_one_that_needs_another_place_as_well_blocks_nobody() -> None:
    """What is ahead and cannot go does not keep a place from who can."""
    limits = {"a": 1, "b": 1}
    line = taken(who("x", rooms=("b",)), who("both", 90, rooms=("a", "b")), limits=limits)
    line, refused = line.take(who("only"), limits, NOW)
    assert refused is None
    line, woken = line.without(who("only").task).without(who("x").task).wake(limits, NOW)
    assert names(woken) == ["both"]


def test_a_limit_that_was_lowered_or_taken_away() -> None:
    """Nobody is sent away, and nobody new comes; what is not limited is not counted."""
    line = taken(who("x"), who("y"), limits={"a": 2})
    assert isinstance(line.take(who("z"), ONE, NOW)[1], LimitReached)
    assert line.take(who("z"), {}, NOW)[1] is None
    line, refused = line.take(who("x"), ONE, NOW)
    assert isinstance(refused, LimitReached)  # it was to begin, and waits now
    assert len(line.holders) == 1


def test_what_is_over_has_no_place() -> None:
    """Whoever found out tells when."""
    line = taken(who("x"))
    found = line.over(line.holders, NOW)
    assert (found.holders, found.checked) == ((), NOW)


def test_of_very_many_some_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who come first; that there are others is remembered."""
    monkeypatch.setattr(module, "KEPT", 3)
    line = Line().waiting(*(who(f"t{n}", since=n) for n in range(3)))
    assert (line.more, line.short) == (False, False)
    line = line.waiting(who("urgent", 100), who("other", since=1, rooms=("b",)))
    assert names(line.waiters) == ["urgent", "t0", "other", "t1"]
    assert line.more
    assert line.short
    assert line.waiting(who("urgent")) is line


def test_it_is_written_and_read() -> None:
    """Short, and to the second."""
    line, _ = (
        taken(who("x"), who("y"), who("z", rooms=("a", "b"))).without(who("x").task).wake(ONE, NOW)
    )
    line = line.over((), NOW).take(who("other"), {}, NOW, 7)[0]
    assert Line.read(line.write()) == line
    assert [holder.version for holder in line.holders] == [7]
    before = line.write().replace(',"versions":[7]', "")
    assert [holder.version for holder in Line.read(before).holders] == [0]
    assert Line.read("") == Line()
    assert line.write().count("prodregistry") == 1
    cut = line.write().replace('"rooms":[["a"],["a","b"]]', '"rooms":[]')
    assert cut != line.write()
    for wrong in ("{}", "[", cut):
        with pytest.raises(ValueError, match=r"."):
            Line.read(wrong)


_limits = st.fixed_dictionaries({"a": st.integers(1, 3), "b": st.integers(1, 2)})
_rooms = st.sampled_from([("a",), ("b",), ("a", "b")])
_steps = st.lists(
    st.tuples(st.sampled_from(["come", "end", "late"]), st.integers(0, 9), st.integers(0, 100)),
    max_size=60,
)


@given(_limits, st.lists(_rooms, min_size=10, max_size=10), _steps)
@settings(max_examples=200)
def test_never_more_than_the_limit_and_never_stuck(
    limits: dict[str, int], rooms: list[tuple[str, ...]], steps: list[tuple[str, int, int]]
) -> None:
    """Whatever comes and ends: each place is given once, and a free one is somebody's turn."""
    line, now, told = Line(), NOW, set[str]()
    for number, (step, name, priority) in enumerate(steps):
        now += timedelta(seconds=number)
        wanted = Waiter(
            TaskId(REGISTRY, f"t{name}"), 1, rooms[name], rank(now, priority), priority, asked=now
        )
        if step == "come":
            line, refused = line.take(wanted, limits, now)
            if refused is None:
                told.discard(wanted.task.name)
        elif step == "end":
            line = line.without(wanted.task)
            told.discard(wanted.task.name)
        else:
            now += 2 * GRACE
        line, woken = line.wake(limits, now)
        told |= {waiter.task.name for waiter in woken}
        line = Line.read(line.write())
        for room, most in limits.items():
            assert sum(room in holder.rooms for holder in line.holders) <= most
        for waiter in line.waiters:
            # Whoever could go was told, or others were who need what is left.
            free = all(
                sum(room in h.rooms for h in line.holders)
                + sum(room in w.rooms for w in line.waiters if w.woken and w is not waiter)
                < limits[room]
                for room in waiter.rooms
            )
            assert waiter.task.name in told or not free


@given(st.lists(st.integers(0, 100), min_size=1, max_size=30))
def test_nobody_starves(priorities: list[int]) -> None:
    """However urgent what comes later is, it comes after who has waited 100 minutes longer."""
    line = taken(who("x"), who("lowest", 0))
    for number, priority in enumerate(priorities):
        line = line.waiting(who(f"t{number}", priority, since=101))
    assert line.waiters[0].task.name == "lowest"


def test_holders_of_other_sequences_are_others() -> None:
    """A place is a rebuild's, not a task's."""
    line = Line((Holder(who("x").task, 1, ("a",)),))
    newer = Waiter(who("x").task, 2, ("a",), NOW, 50)
    changed, refused = line.take(newer, ONE, NOW)
    assert refused is None
    assert [holder.sequence for holder in changed.holders] == [2]


def test_a_place_is_awaited_by_those_who_need_the_same() -> None:
    """Whoever waits for another one, or has none, is not meant."""
    line = taken(who("x", rooms=("a", "c")), who("y"), who("z", rooms=("b",)))
    assert names(line.waiters) == ["y"]
    assert [line.awaited(who(name).task) for name in "xyz"] == [True, False, False]


def test_the_line_keeps_how_long_those_took_that_were_over_last() -> None:
    """Each once, the last one first, so many of them; and reads what an older version wrote."""
    line = taken(who("x"), who("y", rooms=("b",)))
    once = line.ended(who("x").task, 1, 1, 90 * SECOND)
    assert (names_of(once), once.took) == (["y"], (90,))
    assert once.ended(who("x").task, 1, 1, 90 * SECOND) == once
    assert once.ended(who("y", rooms=("b",)).task, 1, 1, None).took == (90,)
    twice = once.ended(who("y").task, 1, 1, 30.6 * SECOND)
    assert (Line.read(twice.write()), twice.took) == (twice, (30, 90))
    before = twice.write().replace(',"took":[30,90]', "")
    assert Line.read(before) == replace(twice, took=())
    many = line
    for number in range(30):
        many = many.take(who("x"), ONE, NOW)[0].ended(who("x").task, 1, 1, number * SECOND)
    assert many.took == tuple(range(29, 9, -1))


def test_who_asks_for_an_earlier_rebuild_takes_no_place_away() -> None:
    """A delivery that was slow asks for one that is over while the next one is under way."""
    slow = who("x")
    line = Line().take(replace(slow, sequence=2), ONE, NOW)[0]
    asked, refused = line.ask(slow, ONE, NOW)
    assert isinstance(refused, LimitReached)
    assert asked.holders == line.holders
    assert asked.ask(who("y"), ONE, NOW)[1] is not None
    waiting = taken(who("y"), replace(slow, sequence=2))
    assert waiting.ask(slow, ONE, NOW)[0].waiters == waiting.waiters


def test_who_has_seen_an_earlier_version_takes_no_place_away() -> None:
    """Another has claimed the rebuild since; the later version goes with the place."""
    line = Line().take(who("x"), ONE, NOW, 5)[0]
    assert line.ended(who("x").task, 1, 4, None) == line
    assert line.ask(who("x"), {"a": 0}, NOW, 4)[0].holders == line.holders
    again = line.take(who("x"), ONE, NOW, 7)[0]
    assert [holder.version for holder in again.holders] == [7]
    assert again.take(who("x"), ONE, NOW, 6) == (again, None)
    assert again.over(line.holders, NOW).holders == again.holders
    assert again.ended(who("x").task, 1, 7, None).holders == ()
