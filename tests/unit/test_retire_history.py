"""The timer that forgets what is old: its rounds, its slices, its lease."""

from __future__ import annotations

from collections.abc import Callable
from copy import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from functions import retire_history as function
from rebuilder import composition
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.history import KEPT, may_go
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import TransientError
from rebuilder.ports.ledger import Retired
from rebuilder.usecases.history.retire_history import BOOKMARK, Retirement, retire_history
from tests.unit.fakes import BASE, NEW, World, task

DAY = timedelta(days=1)
BEFORE = datetime(2026, 1, 1, tzinfo=UTC)


def over(sequence: int, state: State = State.FAILED, **changes: object) -> Rebuild:
    """Return a rebuild that was over long before."""
    long_ago = BEFORE - DAY
    values: dict[str, object] = {"finished_at": long_ago, **changes}
    made = Rebuild(task().id, sequence, "k", (), "p", state, long_ago, "me", long_ago)
    return replace(made, **values)  # type: ignore[arg-type] # checked by its users


@pytest.mark.parametrize(
    ("rebuild", "newer", "goes"),
    [
        (over(1), KEPT, True),
        (over(1), KEPT - 1, False),  # among the newest
        (over(1, State.SUCCEEDED), KEPT, True),
        (over(7, State.SUCCEEDED), KEPT, False),  # the newest success
        (over(1, State.RUNNING), KEPT, False),  # unsettled
        (over(1, due=BEFORE), KEPT, False),  # another attempt is due
        (over(1, State.SKIPPED), KEPT, True),
        (over(1, finished_at=BEFORE), KEPT, False),  # not old enough
        (over(1, finished_at=None), KEPT, True),  # then it is as old as its claim
    ],
)
def test_what_may_go_of_the_rebuilds(rebuild: Rebuild, newer: int, *, goes: bool) -> None:
    """Old ones that nothing is still to happen to, but not the newest, nor the newest success."""
    assert may_go(rebuild, newer, 7, BEFORE) is goes


def old_push(world: World) -> Push:
    """Record a push that is old at once."""
    push = Push(BASE, "images/node", "9", NEW, None, "event-1")
    world.ledger.record_events([push], world.time.now - 100 * DAY)
    return push


def call(world: World, after: timedelta = timedelta()) -> Retirement:
    """Call the use case after a while."""
    world.time.now += after
    return retire_history(world.context, "me")


def test_a_round_begins_once_a_day(world: World) -> None:
    """The first call notes the time only; a day later what is old goes, and then it rests."""
    push = old_push(world)
    assert call(world) == Retirement(0, complete=True)
    assert call(world, 0.9 * DAY) == Retirement(0, complete=True)
    assert world.ledger.push(push.key)
    assert call(world, 0.1 * DAY) == Retirement(1, complete=True)
    assert world.ledger.push(push.key) is None
    push = old_push(world)
    assert call(world, 0.5 * DAY).removed == 0
    assert call(world, 0.5 * DAY).removed == 1


def test_how_old_is_a_setting(world: World) -> None:
    """What is younger stays."""
    push = old_push(world)
    settings = replace(world.settings, history=101 * DAY)
    context = replace(world.context, settings=settings)
    for after in (timedelta(), DAY):
        world.time.now += after
        assert retire_history(context, "me").removed == 0
    assert world.ledger.push(push.key)
    world.time.now += DAY
    assert retire_history(context, "me").removed == 1


def test_a_clock_that_jumps_takes_nothing_with_it(world: World) -> None:
    """A year ahead all is old: such a round only notes the time, and is not believed later."""
    push = Push(BASE, "images/node", "9", NEW, None, "event-1")
    world.ledger.record_events([push], world.time.now)
    call(world)
    call(world, DAY)
    assert call(world, 365 * DAY) == Retirement(0, complete=True)
    assert world.ledger.push(push.key)
    assert call(world, -365 * DAY) == Retirement(0, complete=True)
    assert call(world, DAY) == Retirement(0, complete=True)
    assert world.ledger.push(push.key)


def test_a_slice_is_gone_on_with(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call works for two minutes and leaves a bookmark where the next one begins."""
    call(world)
    world.time.now += DAY
    places: list[str] = []

    def slow(before: datetime, place: str) -> Retired:
        assert timedelta() <= world.time.now - timedelta(days=90) - before < timedelta(minutes=2)
        places.append(place)
        world.time.pass_(61)
        return Retired(10, f"{len(places)}" if len(places) < 7 else "")

    monkeypatch.setattr(world.ledger, "retire", slow)
    assert call(world) == Retirement(20, complete=False)
    assert call(world, timedelta(hours=1)) == Retirement(20, complete=False)
    assert call(world, timedelta(hours=1)) == Retirement(20, complete=False)
    assert call(world, timedelta(hours=1)) == Retirement(10, complete=True)
    assert places == ["", "1", "2", "3", "4", "5", "6"]


def test_one_at_a_time(world: World) -> None:
    """Whoever comes while another is at it leaves it alone."""
    push = old_push(world)
    call(world)
    world.time.now += DAY
    mark = world.context.bookmarks.read(BOOKMARK)
    taken = world.context.bookmarks.save(
        mark.acquired("other", world.time.now + timedelta(minutes=8))
    )
    assert call(world) == Retirement(0, complete=True)
    assert world.ledger.push(push.key)
    world.context.bookmarks.save(taken.released(mark.place))
    assert call(world).removed == 1


def test_what_fails_keeps_nobody_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease is given back at the place that was reached; the next call goes on there."""
    call(world)
    world.time.now += DAY
    letters = world.context.dead_letters

    def fail(before: datetime, place: str) -> Retired:
        del before, place
        raise TransientError("out of order")

    with monkeypatch.context() as failing:
        failing.setattr(letters, "retire", fail)
        with pytest.raises(TransientError):
            call(world)
    mark = world.context.bookmarks.read(BOOKMARK)
    assert mark.free(world.time.now)
    assert '"letters"' in mark.place
    assert call(world).complete


def test_a_place_of_nobody_knows_what_begins_anew(world: World) -> None:
    """It is noted when the round begins, and nothing is removed yet."""
    old_push(world)
    world.context.bookmarks.save(Bookmark(BOOKMARK, "rubbish"))

    assert call(world) == Retirement(0, complete=True)
    assert call(world, DAY).removed == 1


def test_the_function_calls_the_use_case(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a name of its own each time."""
    monkeypatch.setattr(composition, "compose", lambda: world.context)
    work: Callable[[object], None] = function.retire_history._function.get_user_function()
    work(SimpleNamespace(past_due=False))

    assert world.context.bookmarks.read(BOOKMARK).place
