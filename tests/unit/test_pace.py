"""The pace of writes to ARM: what GCRA gives out, and one bookmark that everybody shares."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.rebuilds.pace import Pace, Rate
from rebuilder.errors import Conflict
from rebuilder.ports.bookmarks import Bookmarks
from rebuilder.ports.ledger import Retired
from rebuilder.usecases import pace as _pace
from rebuilder.usecases.context import Context
from tests.unit.fakes import World

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RATE = Rate(per_second=10, burst=5)
STEP = timedelta(milliseconds=100)


def turns(pace: Pace, count: int, now: datetime = NOW) -> tuple[list[timedelta], Pace]:
    """Take turns; return how long after `now` each is."""
    waits = []
    for _ in range(count):
        turn, pace = pace.turn(RATE, now)
        waits.append(turn - now)
    return waits, pace


def test_a_burst_goes_at_once_and_the_rest_evenly() -> None:
    """As many as a full bucket holds have their turn now; the others follow at its rate."""
    waits, _ = turns(Pace(), 8)

    assert waits == [timedelta()] * 5 + [STEP, 2 * STEP, 3 * STEP]


def test_the_bucket_fills_again_up_to_its_size() -> None:
    """After a quiet time a burst is allowed again, and never more than one."""
    _, pace = turns(Pace(), 8)
    waits, _ = turns(pace, 6, NOW + timedelta(hours=1))

    assert waits == [timedelta()] * 5 + [STEP]


def test_part_of_a_bucket() -> None:
    """Two intervals after it was emptied, two may go."""
    _, pace = turns(Pace(), 5)
    waits, _ = turns(pace, 3, NOW + 2 * STEP)

    assert waits == [timedelta(), timedelta(), STEP]


@pytest.mark.parametrize("burst", [1, 3, 200])
def test_turns_never_empty_the_bucket_that_they_are_for(burst: int) -> None:
    """A token bucket of that size and rate never refuses whoever comes at its turn."""
    rate, pace = Rate(10, burst), Pace()
    taken: list[datetime] = []
    for number in range(600):
        asked = NOW + timedelta(milliseconds=(number * 37) % 1000, seconds=number // 20)
        turn, pace = pace.turn(rate, asked)
        taken.append(turn)
    tokens, since = float(burst), NOW
    for turn in sorted(taken):
        tokens = min(burst, tokens + (turn - since) / rate.interval) - 1
        since = turn
        assert tokens > -1e-6


def test_after_a_refusal_nobody_comes_before_its_time() -> None:
    """ARM's bucket is empty: turns follow one by one from when it asked to be left alone."""
    pace = Pace().slowed(RATE, NOW, timedelta(seconds=7))
    waits, _ = turns(pace, 3)

    assert waits == [timedelta(seconds=7), timedelta(seconds=7) + STEP, timedelta(seconds=7.2)]


def test_a_refusal_does_not_shorten_a_line() -> None:
    """Those who wait already keep their place."""
    _, pace = turns(Pace(), 200)
    slowed = pace.slowed(RATE, NOW, timedelta(seconds=1)).slowed(RATE, NOW, timedelta())

    assert slowed == pace


@pytest.mark.parametrize("pace", [Pace(), Pace(NOW)])
def test_a_pace_comes_back_as_it_was(pace: Pace) -> None:
    """Writing and reading are inverse."""
    assert Pace.read(pace.write()) == pace


@pytest.mark.parametrize("text", ["x y", "-", "- - -"])
def test_a_strange_pace_begins_anew(text: str) -> None:
    """What is not one of ours does not keep anybody from going on."""
    assert Pace.read(text) == Pace()


def test_a_thousand_turns_at_once_are_a_thousand_turns(world: World) -> None:
    """Threads that ask together get each a turn of its own, at the settings' rate."""
    start = world.time.now
    with ThreadPoolExecutor(8) as pool:
        given = sorted(pool.map(lambda _: _pace.turn(world.context, "s1"), range(300)))

    waits = [turn - start for turn in given]
    assert waits == [timedelta()] * 200 + [STEP * number for number in range(1, 101)]


def test_subscriptions_do_not_wait_for_each_other(world: World) -> None:
    """ARM counts per subscription, and so do we."""
    settings = replace(world.settings, arm_write_burst=1)
    context = replace(world.context, settings=settings)

    first = [_pace.turn(context, "s1"), _pace.turn(context, "s1")]

    assert first == [world.time.now, world.time.now + STEP]
    assert _pace.turn(context, "s2") == world.time.now


@pytest.mark.parametrize(("asked", "seconds"), [(timedelta(seconds=4), 4), (None, 30)])
def test_everybody_knows_that_arm_asked_to_wait(
    world: World, asked: timedelta | None, seconds: float
) -> None:
    """The time is ARM's own, or half a minute, and it ends."""
    assert not _pace.crowded(world.context, "s1")

    _pace.slow_down(world.context, "s1", asked)

    until = world.time.now + timedelta(seconds=seconds)
    assert _pace.crowded(world.context, "s1")
    assert _pace.turn(world.context, "s1") == until
    world.time.pass_(seconds + STEP.total_seconds())
    assert not _pace.crowded(world.context, "s1")


class Contested:
    """Bookmarks that another instance changes right before each of some saves."""

    def __init__(self, bookmarks: Bookmarks, often: int, change: Callable[[], object]) -> None:
        self._bookmarks = bookmarks
        self._left = often
        self._change = change

    def read(self, name: str) -> Bookmark:
        """Return a bookmark."""
        return self._bookmarks.read(name)

    def save(self, bookmark: Bookmark) -> Bookmark:
        """Store a change, too late."""
        if self._left:
            self._left -= 1
            self._change()
        return self._bookmarks.save(bookmark)

    def retire(self, now: datetime, place: str) -> Retired:
        """Forget nothing."""
        del now, place
        return Retired(0, "")

    def close(self) -> None:
        """Do nothing."""


def contested(world: World, often: int) -> Context:
    """Return a context with whose turns another instance interferes so often."""
    settings = replace(world.settings, arm_write_burst=1)

    def steal() -> None:
        bookmark = world.context.bookmarks.read("pace/s1")
        _, taken = Pace.read(bookmark.place).turn(Rate(10, 1), world.time.now)
        world.context.bookmarks.save(replace(bookmark, place=taken.write()))

    bookmarks = Contested(world.context.bookmarks, often, steal)
    return replace(world.context, settings=settings, bookmarks=bookmarks)


def test_whoever_is_overtaken_takes_the_next_turn(world: World) -> None:
    """A turn that somebody else got meanwhile is not given twice."""
    context = contested(world, 3)

    assert _pace.turn(context, "s1") == world.time.now + 3 * STEP


def test_whoever_is_always_overtaken_comes_back(world: World) -> None:
    """The loop has an end."""
    context = contested(world, 1000)

    with pytest.raises(Conflict):
        _pace.turn(context, "s1")


def test_the_bookmark_is_in_the_store(world: World, tmp_path: Path) -> None:
    """Another instance, with connections of its own, goes on in the same line."""
    other = World(tmp_path)
    settings = replace(world.settings, arm_write_burst=1)
    mine, theirs = (replace(w.context, settings=settings) for w in (world, other))

    assert _pace.turn(mine, "s1") == world.time.now
    assert _pace.turn(theirs, "s1") == world.time.now + STEP
