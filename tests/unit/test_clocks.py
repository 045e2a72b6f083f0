"""A host whose clock was a day ahead has left its times in the store: nobody waits for them."""

from __future__ import annotations

from collections.abc import Callable
from copy import replace
from datetime import UTC, datetime, timedelta

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import MANUAL, RunStatus
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.decisions.unreadable import TaskGone
from rebuilder.core.dependencies.index import IndexedTask, IndexScan
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    RUNS,
    PlanRebuilds,
    Refresh,
    StartBuild,
    TrackBuild,
    put_back,
    tried_since,
)
from rebuilder.core.rebuilds.pace import LONGEST_TURN, Pace, Rate
from rebuilder.core.rebuilds.rebuild import LONGEST_WAIT, Failure, Rebuild, State, rebuild_key
from rebuilder.core.times import age, ahead
from rebuilder.errors import TransientError
from rebuilder.ports.foreign import Seen
from rebuilder.usecases import pace as _pace
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.catch_up.poll_bases import foreign_bookmark, poll_bases
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.history.retire_history import retire_history
from rebuilder.usecases.index.refresh_index import refresh_index, scan_registry
from rebuilder.usecases.recovery.delivery import deliver
from tests.unit.fakes import APPS, BASE, NEW, NODE, World, dependency, run, task

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
MESSAGE = StartBuild(PUSH, task().id)


@pytest.mark.parametrize(
    ("after", "possible"),
    [
        (-DAY, True),
        (timedelta(), True),
        (MINUTE, True),
        (MINUTE + timedelta(seconds=5), True),  # clocks differ
        (MINUTE + timedelta(seconds=6), False),
        (DAY, False),
    ],
)
def test_how_far_ahead_a_time_may_lie(after: timedelta, *, possible: bool) -> None:
    """As far as anybody waits, and a little more; the past is always possible."""
    assert ahead(NOW + after, NOW, MINUTE) is not possible


def test_how_long_ago_something_was() -> None:
    """What cannot have been yet is never lately."""
    assert age(NOW - DAY, NOW) == DAY
    assert age(NOW + timedelta(seconds=5), NOW) == timedelta(seconds=-5)
    assert age(NOW + MINUTE, NOW) > 1000 * DAY


def known(world: World) -> None:
    """Have the index know the task."""
    world.tasks.add(task())
    scan_registry(world.context, APPS)


def wrong(world: World, work: Callable[[], object]) -> None:
    """Let something happen on a host whose clock is a day ahead."""
    world.time.now += DAY
    work()
    world.time.now -= DAY


def claimed(world: World, state: State, **changes: object) -> Rebuild:
    """Store a rebuild with times of tomorrow."""
    ahead_of_us = world.time.now + DAY
    values: dict[str, object] = {
        "task": task().id,
        "sequence": 1,
        "key": rebuild_key(task().id, [Base(ImageReference.parse(NODE), NEW, "registry")]),
        "bases": (f"{NODE}@{NEW}",),
        "push": PUSH.key,
        "state": state,
        "claimed_at": ahead_of_us,
        "owner": "wrong",
        "lease_until": ahead_of_us + timedelta(seconds=90),
    }
    made = Rebuild(**{**values, **changes})  # type: ignore[arg-type] # checked by its users
    assert world.ledger.claim(made)
    return made


def test_a_lease_of_tomorrow_is_put_right_and_waited_for(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Its holder may be at work now: it gets the usual time, and then it is taken over."""
    world.tasks.add(task())
    claimed(world, State.CLAIMED)
    assert start_build(world.context, MESSAGE, "me") is None
    ((body, delay),) = world.queue.take(BUILDS)
    assert delay <= world.settings.lease
    assert "lies further ahead than it can" in caplog.text
    assert world.tasks.scheduled == []
    world.time.now += world.settings.lease
    rebuild = start_build(world.context, StartBuild.decode(body), "me")

    assert isinstance(rebuild, Rebuild)
    assert (rebuild.state, rebuild.sequence) == (State.SCHEDULED, 1)
    assert rebuild.claimed_at <= world.time.now
    assert len(world.tasks.scheduled) == 1


def test_a_lease_of_days_ago_is_put_right_and_waited_for(world: World) -> None:
    """A host whose clock is behind may hold it, or have put it right: it may be at work now."""
    world.tasks.add(task())
    claimed(
        world,
        State.CLAIMED,
        claimed_at=world.time.now - 3 * DAY,
        lease_until=world.time.now - 3 * DAY,
    )
    assert start_build(world.context, MESSAGE, "me") is None
    ((body, _),) = world.queue.take(BUILDS)
    assert world.tasks.scheduled == []
    world.time.now += world.settings.lease
    rebuild = start_build(world.context, StartBuild.decode(body), "me")

    assert isinstance(rebuild, Rebuild)
    assert (rebuild.state, rebuild.sequence) == (State.SCHEDULED, 1)


def test_the_run_of_a_claim_of_tomorrow_is_found(world: World) -> None:
    """Also where ARM shows no token, and although its claim seems to be later than the run."""
    world.tasks.add(task())
    claimed(world, State.CLAIMED)
    began = world.time.now
    world.tasks.found_runs["ca7"] = run("ca7", trigger=MANUAL, created=began, started=began)
    world.time.pass_(600)
    start_build(world.context, MESSAGE, "me")
    ((body, _),) = world.queue.take(BUILDS)
    world.time.now += world.settings.lease
    start_build(world.context, StartBuild.decode(body), "me")

    rebuild = world.ledger.head(task().id)
    assert rebuild is not None
    assert (rebuild.sequence, rebuild.state, rebuild.run_id) == (1, State.SCHEDULED, "ca7")
    assert rebuild.outcome is None
    assert world.tasks.scheduled == []


@pytest.mark.parametrize("repair", [0, 1])
def test_the_run_of_a_claim_is_found_by_a_clock_that_is_ahead_too(
    world: World, repair: int
) -> None:
    """Then nothing seems wrong: what began after the push is the claim's, by Azure's clock.

    Not where a repair was wanted: that the push is older than a run says nothing then.
    """
    world.tasks.add(task())
    pushed = replace(PUSH, pushed_at=world.time.now - MINUTE)
    world.ledger.record_events([pushed], world.time.now)
    claimed(world, State.CLAIMED, repair=repair)
    began = world.time.now
    world.tasks.found_runs["ca7"] = run("ca7", trigger=MANUAL, created=began, started=began)
    world.time.pass_(91)
    wrong(world, lambda: start_build(world.context, MESSAGE, "me"))

    rebuild = world.ledger.head(task().id)
    assert rebuild is not None
    assert len(world.tasks.scheduled) == repair
    assert (rebuild.sequence, rebuild.run_id == "ca7") == (1, not repair)


@pytest.mark.parametrize("first", ["on the same digests", "on others", "without a run"])
def test_the_run_of_a_later_attempt_is_found_by_a_clock_that_is_ahead_too(
    world: World, first: str
) -> None:
    """Where nobody told when the base was pushed: by when the run of the attempt before ended.

    What began after that, by Azure's clock, builds on the same digests.
    """
    world.tasks.add(task())
    before = claimed(world, State.FAILED, run_id="ca6", run_ended=world.time.now - MINUTE)
    if first == "on others":
        before = world.ledger.save(replace(before, key="another"))
    if first == "without a run":
        world.ledger.save(replace(before, run_id=None, run_ended=None))
    claimed(world, State.CLAIMED, sequence=2, attempt=2)
    began = world.time.now
    world.tasks.found_runs["ca7"] = run("ca7", trigger=MANUAL, created=began, started=began)
    world.time.pass_(91)
    wrong(world, lambda: start_build(world.context, MESSAGE, "me"))

    rebuild = world.ledger.head(task().id)
    found = first == "on the same digests"
    assert rebuild is not None
    assert (rebuild.sequence, rebuild.run_id == "ca7") == (2, found)
    assert len(world.tasks.scheduled) == (not found)


def test_what_is_held_until_tomorrow_is_built(world: World) -> None:
    """The native trigger is waited for an hour or two, whatever a record says."""
    world.tasks.add(replace(task(), native_trigger=True))
    wrong(world, lambda: start_build(world.context, MESSAGE, "wrong"))
    held = world.ledger.head(task().id)
    assert held is not None
    assert held.state is State.HELD
    world.queue.sent.clear()
    rebuild = start_build(world.context, MESSAGE, "me")

    assert isinstance(rebuild, Rebuild)
    assert rebuild.state is State.SCHEDULED


def test_an_attempt_of_tomorrow_is_made(world: World) -> None:
    """No wait between attempts is longer than a day."""
    world.tasks.add(task())
    first = start_build(world.context, MESSAGE, "me")
    assert isinstance(first, Rebuild)
    ended = replace(world.tasks.found_runs["ca1"], status=RunStatus.FAILED)
    world.tasks.found_runs["ca1"] = ended
    track = TrackBuild(first.task, 1, first.version)
    wrong(world, lambda: track_build(world.context, track))
    failed = world.ledger.head(task().id)
    assert failed is not None
    assert failed.due is not None
    assert failed.due > world.time.now + DAY
    rebuild = start_build(world.context, MESSAGE, "me")

    assert isinstance(rebuild, Rebuild)
    assert (rebuild.state, rebuild.attempt) == (State.SCHEDULED, 2)


def test_no_attempt_waits_for_longer_than_a_day(world: World) -> None:
    """However long the first wait is, and however often it was doubled."""
    settings = replace(world.settings, retry_build_wait=DAY, build_attempts=10)
    object.__setattr__(world.context, "settings", settings)
    world.tasks.add(task())
    first = start_build(world.context, MESSAGE, "me")
    assert isinstance(first, Rebuild)
    later = world.ledger.save(replace(first, attempt=7))
    ended = replace(world.tasks.found_runs["ca1"], status=RunStatus.FAILED)
    world.tasks.found_runs["ca1"] = ended
    world.queue.sent.clear()
    failed = track_build(world.context, TrackBuild(later.task, 1, later.version))

    assert failed is not None
    assert failed.due == world.time.now + LONGEST_WAIT
    assert [delay for _, delay in world.queue.take(BUILDS)] == [LONGEST_WAIT]


@pytest.mark.parametrize(
    ("state", "changes", "queue"),
    [
        (State.CLAIMED, {}, BUILDS),
        (State.HELD, {"due": DAY}, BUILDS),
        (State.FAILED, {"due": DAY + MINUTE, "failure": Failure.BUILD}, BUILDS),
        (State.SCHEDULED, {"run_id": "ca1"}, RUNS),
        (State.RUNNING, {"run_id": "ca1", "due": DAY}, RUNS),
    ],
)
def test_what_was_put_off_until_tomorrow_is_taken_up(
    world: World, state: State, changes: dict[str, object], queue: str
) -> None:
    """Its message waits until then, too: the sweep sends another one."""
    known(world)
    given = {
        name: world.time.now + value if isinstance(value, timedelta) else value
        for name, value in changes.items()
    }
    claimed(world, state, **given)
    assert sweep(world.context, "me").resumed == 1
    assert len(world.queue.take(queue)) == 1


def test_a_push_that_was_told_tomorrow_is_planned(world: World) -> None:
    """By the sweep: neither its plan nor what it decided is on its way for a day."""
    known(world)
    wrong(world, lambda: world.ledger.record_events([PUSH], world.time.now))
    assert sweep(world.context, "me").planned_again == [PUSH.key]
    ((body, _),) = world.queue.take(PUSHES)
    assert PlanRebuilds.decode(body).push.key == PUSH.key


def test_a_decision_of_tomorrow_leaves_nobody_alone(world: World) -> None:
    """A task that was to be rebuilt, and whose message waits until tomorrow, is found."""
    known(world)
    moved = BaseMoved(task().id, NODE, "runtime", None, NEW, "registry")

    def decide() -> None:
        world.ledger.record_events([PUSH], world.time.now)
        world.ledger.planned(PUSH)
        world.ledger.record_decisions(PUSH, [moved], world.time.now)

    wrong(world, decide)
    assert sweep(world.context, "me").missed == [PUSH.key]


def test_a_decision_of_a_clock_that_is_behind_comes_after_the_plan(world: World) -> None:
    """Else the plan would be the last word, and nothing seem to have come of it."""
    began = world.time.now
    pushed = replace(PUSH, pushed_at=began)
    moved = BaseMoved(task().id, NODE, "runtime", None, NEW, "registry")
    world.ledger.record_decisions(pushed, [moved], began + timedelta(seconds=9))
    world.time.now -= 3 * DAY
    start_build(world.context, StartBuild(pushed, task().id), "me")

    newest = max(world.ledger.decisions(pushed), key=lambda record: record.last_at)
    assert isinstance(newest.decision, TaskGone)
    assert newest.last_at == began + timedelta(seconds=9, microseconds=1)


def test_a_decision_of_a_clock_that_is_behind_comes_after_the_push(world: World) -> None:
    """Where no plan is recorded."""
    pushed = replace(PUSH, pushed_at=world.time.now)
    world.time.now -= DAY
    start_build(world.context, StartBuild(pushed, task().id), "me")

    (record,) = world.ledger.decisions(pushed)
    assert record.last_at > world.time.now + DAY


def test_a_decision_comes_after_the_plan_of_a_clock_that_was_ahead(world: World) -> None:
    """Until that is planned again: what was decided before says nothing of when that was."""
    began = world.time.now
    moved = BaseMoved(task().id, NODE, "runtime", None, NEW, "registry")
    for planned, decided in (
        (began + DAY, began + DAY + timedelta(microseconds=1)),
        (began - MINUTE, began),
    ):
        world.ledger.record_decisions(PUSH, [moved], planned)
        start_build(world.context, MESSAGE, "me")
        times = {r.decision.rebuild: r.last_at for r in world.ledger.decisions(PUSH)}
        assert times == {True: planned, False: decided}


def test_a_decision_after_a_push_of_tomorrow_is_of_now(world: World) -> None:
    """The clock of who polled was ahead, and the plan is of hours ago: it is not decided then."""
    pushed = replace(PUSH, pushed_at=world.time.now + 5 * DAY)
    moved = BaseMoved(task().id, NODE, "runtime", None, NEW, "registry")
    world.ledger.record_decisions(pushed, [moved], world.time.now)
    world.time.pass_(3 * 3600)
    start_build(world.context, StartBuild(pushed, task().id), "me")

    newest = max(world.ledger.decisions(pushed), key=lambda record: record.last_at)
    assert isinstance(newest.decision, TaskGone)
    assert newest.last_at == world.time.now


def test_an_index_of_tomorrow_is_read_again(world: World) -> None:
    """A sweep that seems to have begun tomorrow answers nobody, and none goes on with it."""
    world.tasks.add(task())
    wrong(world, lambda: scan_registry(world.context, APPS))
    report = sweep(world.context, "me")
    assert str(APPS) in report.refreshed
    message = Refresh(APPS, None, world.time.now)
    world.index.save_scan(IndexScan(APPS, world.time.now + DAY, "zzz"))
    refresh_index(world.context, message)

    assert world.index.refreshed(APPS) == world.time.now
    view = world.index.view(task().id)
    assert isinstance(view, IndexedTask)
    assert view.read_at == world.time.now


def test_a_sweep_of_the_index_that_began_tomorrow_is_asked_for(world: World) -> None:
    """It is nobody's who is at it."""
    world.index.save_scan(IndexScan(APPS, world.time.now + DAY))
    assert str(APPS) in sweep(world.context, "me").refreshed


@pytest.mark.parametrize("name", ["sweep", "poll", "history"])
def test_the_lease_of_a_bookmark_of_tomorrow_is_taken(world: World, name: str) -> None:
    """Nobody holds one for longer than eight minutes."""
    tomorrow = world.time.now + DAY
    world.context.bookmarks.save(Bookmark(name, "", "wrong", tomorrow + timedelta(minutes=8)))
    known(world)
    if name == "sweep":
        assert sweep(world.context, "me").swept
    elif name == "poll":
        assert poll_bases(world.context, "me").polled
    else:
        retire_history(world.context, "me")
        assert world.context.bookmarks.read("history").owner == ""


def test_turns_of_tomorrow_are_not_waited_for(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The line is put right: its bucket counts as empty, so that ARM is not overrun."""
    settings = replace(world.settings, arm_write_burst=5)
    object.__setattr__(world.context, "settings", settings)
    wrong(world, lambda: [_pace.turn(world.context, "s1") for _ in range(9)])
    assert not _pace.crowded(world.context, "s1")
    given = [_pace.turn(world.context, "s1") - world.time.now for _ in range(4)]

    assert given == [timedelta(milliseconds=100 * number) for number in range(4)]
    assert "the pace of subscription s1" in caplog.text


def test_turns_are_given_an_hour_ahead_at_most(world: World) -> None:
    """Whoever finds the line longer asks again later, and takes no place in it."""
    rate = Rate(10, 5)
    full = Pace(world.time.now + rate.tolerance + LONGEST_TURN)
    world.context.bookmarks.save(Bookmark("pace/s1", full.write()))
    settings = replace(world.settings, arm_write_burst=5)
    object.__setattr__(world.context, "settings", settings)
    first, second = (_pace.turn(world.context, "s1") for _ in range(2))
    assert first == world.time.now + LONGEST_TURN
    assert second > world.time.now + LONGEST_TURN
    assert _pace.turn(world.context, "s1") == second
    world.tasks.add(task())
    assert start_build(world.context, MESSAGE, "me") is None
    ((body, delay),) = world.queue.take(BUILDS)
    assert delay == LONGEST_TURN
    assert StartBuild.decode(body).turn is None


def test_arm_asks_to_wait_for_an_hour_at_most(world: World) -> None:
    """A header of a year does not stop a subscription for a year."""
    _pace.slow_down(world.context, "s1", timedelta(days=365))

    assert _pace.turn(world.context, "s1") <= world.time.now + LONGEST_TURN + MINUTE


@pytest.mark.parametrize("passed", [0, 3600])
def test_foreign_images_that_were_seen_tomorrow_are_looked_at(world: World, passed: int) -> None:
    """Neither they nor their registry rest for a day."""
    image = dependency("docker.io/library/alpine:3")
    world.tasks.add(task("build-app", image))
    scan_registry(world.context, APPS)
    world.foreign.seen[str(image.reference)] = Seen(NEW, wait=timedelta(minutes=30))
    wrong(world, lambda: poll_bases(world.context, "wrong"))
    world.foreign.asked.clear()
    world.time.pass_(passed)
    report = poll_bases(world.context, "me")

    assert report.looked == 1
    assert world.context.bookmarks.read(foreign_bookmark(image.reference)).version == 2


def test_a_message_that_was_first_put_back_tomorrow_is_counted_from_now(world: World) -> None:
    """It would be put back for a day more."""

    def fails(*_: object) -> None:
        raise TransientError("out of order")

    body = put_back('{"schema":1}', world.time.now + DAY)
    deliver(world.context, BUILDS, body, fails)

    ((body, _),) = world.queue.take(BUILDS)
    assert tried_since(body) == (1, world.time.now)


def test_what_is_possible_is_believed(world: World) -> None:
    """A lease, a hold and a turn that are only long are waited for."""
    world.tasks.add(task())
    claimed(
        world,
        State.CLAIMED,
        claimed_at=world.time.now,
        lease_until=world.time.now + timedelta(minutes=59),
    )
    start_build(world.context, MESSAGE, "me")

    head = world.ledger.head(task().id)
    assert head is not None
    assert (head.version, head.lease_until) == (1, world.time.now + timedelta(minutes=59))
    assert world.tasks.scheduled == []


def test_a_clock_that_is_put_back_while_its_process_stands_still_starts_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood for longer than its lease lasts, and by its own clock no time has passed."""
    world.tasks.add(task())
    claim = world.ledger.claim

    def stand_still(rebuild: Rebuild) -> bool:
        claimed = claim(rebuild)
        monkeypatch.undo()
        world.time.pass_(200)
        start_build(world.context, MESSAGE, "another")
        world.time.now -= 3 * DAY
        return claimed

    monkeypatch.setattr(world.ledger, "claim", stand_still)
    start_build(world.context, MESSAGE, "me")

    assert len(world.tasks.scheduled) == 1
    assert [found.owner for found in world.ledger.rebuilds(task().id)] == ["another"]
