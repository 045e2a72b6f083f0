from __future__ import annotations

from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.decisions.digests import AlreadyBuiltOn
from rebuilder.core.decisions.rebuilds import RebuildFailed
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.decisions.unreadable import TaskUnreadable
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import BUILDS, RUNS, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import Failure, Rebuild, State
from rebuilder.errors import Denied, OutcomeUnknown, TransientError
from rebuilder.ports.foreign import Seen
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from tests.unit.fakes import BASE, NEW, NEWER, NODE, OLD, World, dependency, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
MESSAGE = StartBuild(PUSH, task().id)
NEWER_MESSAGE = StartBuild(replace(PUSH, digest=NEWER), task().id)


@pytest.fixture(autouse=True)
def _one_task(world: World) -> None:
    world.tasks.add(task())


def head(world: World) -> Rebuild:
    """Return the newest rebuild of the task."""
    found = world.ledger.head(task().id)
    assert found is not None
    return found


def end(world: World, status: RunStatus) -> Rebuild:
    """Let the newest rebuild's run end, and look at it."""
    rebuild = head(world)
    run_id = str(rebuild.run_id)
    world.tasks.found_runs[run_id] = replace(world.tasks.found_runs[run_id], status=status)
    track_build(world.context, TrackBuild(rebuild.task, rebuild.sequence, rebuild.version))
    return head(world)


@pytest.mark.parametrize(
    ("status", "failure", "wait"),
    [
        (RunStatus.ERROR, Failure.INFRASTRUCTURE, 60),
        (RunStatus.TIMEOUT, Failure.INFRASTRUCTURE, 60),
        (RunStatus.FAILED, Failure.BUILD, 300),
    ],
)
def test_a_run_that_fails_is_tried_again_by_its_class(
    world: World, status: RunStatus, failure: Failure, wait: int
) -> None:
    """Each attempt waits twice as long as the one before; after the third the circuit opens."""
    start_build(world.context, MESSAGE, "me")
    for attempt in (1, 2):
        ended = end(world, status)
        assert (ended.state, ended.failure, ended.attempt) == (State.FAILED, failure, attempt)
        delay = timedelta(seconds=wait * 2 ** (attempt - 1))
        assert ended.due == world.time.now + delay
        assert ended.unsettled
        ((body, sent),) = world.queue.take(BUILDS)
        assert (StartBuild.decode(body), sent) == (replace(MESSAGE, push=PUSH_OF_KEY), delay)
        world.time.pass_(delay.total_seconds())
        start_build(world.context, StartBuild.decode(body), "me")
    last = end(world, status)

    assert (last.state, last.attempt, last.due) == (State.GIVEN_UP, 3, None)
    assert world.queue.take(BUILDS) == []
    decision = start_build(world.context, MESSAGE, "me")
    assert isinstance(decision, RebuildFailed)
    assert (decision.attempts, decision.run) == (3, "ca3")
    assert "after 3 attempts" in decision.sentence()
    assert len({token for _, token in world.tasks.scheduled}) == 3


PUSH_OF_KEY = Push.from_key(PUSH.key)


@pytest.mark.parametrize("first", [timedelta(days=1), timedelta(hours=7), timedelta(seconds=1)])
def test_no_attempt_is_further_away_than_a_day(world: World, first: timedelta) -> None:
    """However long the first wait is, and however often it is doubled: no queue holds more."""
    world.context = replace(
        world.context,
        settings=replace(world.settings, retry_build_wait=first, build_attempts=10),
    )
    start_build(world.context, MESSAGE, "me")
    waits = []
    for _ in range(9):
        end(world, RunStatus.FAILED)
        ((body, delay),) = world.queue.take(BUILDS)
        waits.append(delay)
        assert head(world).due == world.time.now + delay
        world.time.pass_(delay.total_seconds())
        start_build(world.context, StartBuild.decode(body), "me")
    end(world, RunStatus.FAILED)

    assert waits == [min(first * 2**number, timedelta(hours=24)) for number in range(9)]
    assert head(world).state is State.GIVEN_UP


def test_an_early_message_waits_for_the_next_attempt(world: World) -> None:
    """A second message for a rebuild that failed comes back when the attempt is due."""
    start_build(world.context, MESSAGE, "me")
    end(world, RunStatus.ERROR)
    world.queue.sent.clear()
    world.time.pass_(20)

    assert start_build(world.context, MESSAGE, "me") is None
    ((_, delay),) = world.queue.take(BUILDS)
    assert delay == timedelta(seconds=40)
    assert len(world.tasks.scheduled) == 1


def test_a_cancelled_run_is_not_tried_again(world: World) -> None:
    """Somebody did not want it."""
    start_build(world.context, MESSAGE, "me")
    ended = end(world, RunStatus.CANCELED)

    assert (ended.state, ended.failure) == (State.GIVEN_UP, Failure.CANCELED)
    assert world.queue.take(BUILDS) == []


def test_a_newer_digest_closes_the_circuit(world: World) -> None:
    """What was given up for one digest is tried on the next one, from the first attempt."""
    start_build(world.context, MESSAGE, "me")
    end(world, RunStatus.CANCELED)
    world.images.digests[NODE] = NEWER
    start_build(world.context, NEWER_MESSAGE, "me")

    assert (head(world).state, head(world).attempt) == (State.SCHEDULED, 1)
    assert head(world).bases == (f"{NODE}@{NEWER}",)


def test_somebody_may_ask_for_it_anew(world: World) -> None:
    """After a repair the same digests are tried when somebody says so."""
    start_build(world.context, MESSAGE, "me")
    end(world, RunStatus.CANCELED)
    start_build(world.context, replace(MESSAGE, forced=True), "me")

    assert (head(world).sequence, head(world).attempt) == (2, 1)
    assert head(world).state is State.SCHEDULED


def test_a_newer_digest_does_not_wait_for_the_next_attempt(world: World) -> None:
    """The attempt on older digests is not made any more."""
    start_build(world.context, MESSAGE, "me")
    end(world, RunStatus.FAILED)
    world.images.digests[NODE] = NEWER
    start_build(world.context, NEWER_MESSAGE, "me")

    first = world.ledger.rebuild(task().id, 1)
    assert first is not None
    assert not first.unsettled
    assert [rebuild.sequence for rebuild in world.ledger.unsettled()] == [2]


def test_an_attempt_that_is_not_wanted_any_more(world: World) -> None:
    """Somebody built it by hand meanwhile: the attempt that was due is not made."""
    start_build(world.context, MESSAGE, "me")
    end(world, RunStatus.FAILED)
    world.tasks.add(task("build-app", dependency(built_on=NEW)))
    decision = start_build(world.context, MESSAGE, "me")

    assert isinstance(decision, AlreadyBuiltOn)
    assert world.ledger.unsettled() == []


def test_an_older_image_that_comes_back_waits_for_the_run_on_the_newer_one(world: World) -> None:
    """ACR's record is right until that run ends: then the task is built on the older image."""
    world.images.digests[NODE] = NEWER
    start_build(world.context, NEWER_MESSAGE, "me")
    world.images.digests[NODE] = OLD
    back = StartBuild(replace(PUSH, digest=OLD), task().id)
    assert start_build(world.context, back, "you") is None
    ((body, _),) = world.queue.take(BUILDS)
    end(world, RunStatus.SUCCEEDED)
    world.tasks.add(task("build-app", dependency(built_on=NEWER)))
    start_build(world.context, StartBuild.decode(body), "you")

    assert (head(world).sequence, head(world).bases) == (2, (f"{NODE}@{OLD}",))


def test_a_run_that_uses_the_image_already_needs_no_other(world: World) -> None:
    """What is recorded is what the run under way is built on: nothing is to be waited for."""
    start_build(world.context, MESSAGE, "me")
    world.tasks.add(task("build-app", dependency(built_on=NEW)))

    assert isinstance(start_build(world.context, MESSAGE, "you"), AlreadyBuiltOn)
    assert head(world).state is State.SCHEDULED


def test_a_task_that_is_disabled_gives_up_its_next_attempt(world: World) -> None:
    """Whichever base the push was of, nothing is built any more."""
    go = "mybase.azurecr.io/images/go:1"
    world.images.digests[go] = NEW
    start_build(world.context, MESSAGE, "me")
    end(world, RunStatus.FAILED)
    world.tasks.add(task("build-app", dependency(), dependency(go), enabled=False))
    other = StartBuild(replace(PUSH, repository="images/go", tag="1"), task().id)

    assert isinstance(start_build(world.context, other, "you"), TaskDisabled)
    assert world.ledger.unsettled() == []


def test_a_push_of_another_base_leaves_the_next_attempt_alone(world: World) -> None:
    """That the task needs nothing of one image says nothing about the attempt for another."""
    go = "mybase.azurecr.io/images/go:1"
    world.images.digests[go] = NEW
    start_build(world.context, MESSAGE, "me")
    end(world, RunStatus.FAILED)
    world.tasks.add(task("build-app", dependency(), dependency(go, NEW)))
    other = StartBuild(replace(PUSH, repository="images/go", tag="1"), task().id)
    decision = start_build(world.context, other, "you")

    assert isinstance(decision, AlreadyBuiltOn)
    assert head(world).due is not None


def test_a_run_that_goes_on_is_running(world: World) -> None:
    """The record says since when an agent works, and when the next look is due."""
    start_build(world.context, MESSAGE, "me")
    world.time.pass_(15)
    rebuild = head(world)
    track_build(world.context, TrackBuild(rebuild.task, 1, rebuild.version))

    assert head(world).state is State.RUNNING
    assert head(world).due == world.time.now + world.settings.track_interval


def test_a_run_that_no_agent_takes_is_reported(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """After half an hour in the queue the record and the log say so; no second run is started."""
    start_build(world.context, MESSAGE, "me")
    queued = replace(world.tasks.found_runs["ca1"], status=RunStatus.QUEUED)
    world.tasks.found_runs["ca1"] = replace(queued, created=world.time.now)
    for seconds, reported in ((1790, False), (20, True)):
        world.time.pass_(seconds)
        rebuild = head(world)
        track_build(world.context, TrackBuild(rebuild.task, 1, rebuild.version))
        assert head(world).state is State.SCHEDULED
        assert ("no agent has taken run ca1" in str(head(world).advice)) is reported
    assert "no agent has taken" in caplog.text
    assert len(world.tasks.scheduled) == 1


def test_a_run_that_arm_has_forgotten_is_tried_again(world: World) -> None:
    """Whatever happened to it, its image may be missing."""
    start_build(world.context, MESSAGE, "me")
    world.tasks.found_runs.clear()
    rebuild = head(world)
    track_build(world.context, TrackBuild(rebuild.task, 1, rebuild.version))

    assert (head(world).state, head(world).failure) == (State.FAILED, Failure.INFRASTRUCTURE)


def test_a_task_that_may_not_be_read_is_a_decision(world: World) -> None:
    """It is recorded with the role that is missing, and not tried again."""
    world.tasks.denied.add(task().id)
    decision = start_build(world.context, MESSAGE, "me")

    assert isinstance(decision, TaskUnreadable)
    assert "no role" in decision.sentence()


def test_a_slow_process_renews_its_lease_before_it_schedules(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request may take longer than what is left of the lease: nobody may take it over then."""
    claim = type(world.ledger).claim

    def slowly(ledger: object, rebuild: Rebuild) -> bool:
        claimed = claim(world.ledger, rebuild)
        world.time.pass_(60)
        del ledger
        return claimed

    monkeypatch.setattr(type(world.ledger), "claim", slowly)
    start_build(world.context, MESSAGE, "me")

    assert head(world).state is State.SCHEDULED
    assert head(world).lease_until == world.time.now + world.settings.lease


def test_a_process_that_was_overtaken_schedules_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease ran out while it slept, and somebody else has the claim."""
    claim = type(world.ledger).claim

    def overtaken(ledger: object, rebuild: Rebuild) -> bool:
        claimed = claim(world.ledger, rebuild)
        world.time.pass_(100)
        monkeypatch.setattr(type(world.ledger), "claim", claim)
        start_build(world.context, MESSAGE, "you")
        del ledger
        return claimed

    monkeypatch.setattr(type(world.ledger), "claim", overtaken)
    assert start_build(world.context, MESSAGE, "me") is None

    assert head(world).owner == "you"
    assert len(world.tasks.scheduled) == 1


def test_a_lease_without_time_starts_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose every step takes longer than its lease leaves the claim to others."""
    save = type(world.ledger).save

    def slowly(ledger: object, rebuild: Rebuild) -> Rebuild:
        saved = save(world.ledger, rebuild)
        world.time.pass_(60)
        del ledger
        return saved

    world.tasks.failures["schedule"] = [OutcomeUnknown("cut")]
    start_build(world.context, MESSAGE, "me")
    world.time.pass_(91)
    monkeypatch.setattr(type(world.ledger), "save", slowly)
    with pytest.raises(TransientError, match="no time left"):
        start_build(world.context, MESSAGE, "you")
    assert world.tasks.scheduled == []
    assert head(world).state is State.HELD  # nothing was sent: nobody has to look for a run


def test_a_build_waits_for_its_turn(world: World) -> None:
    """More builds than ARM takes at once come back when it is their turn, and go on then."""
    names = [f"task-{number}" for number in range(world.settings.arm_write_burst + 20)]
    for name in names:
        world.tasks.add(task(name))
        start_build(world.context, StartBuild(PUSH, task(name).id), name)
    waiting = world.queue.take(BUILDS)
    assert len(world.tasks.scheduled) == world.settings.arm_write_burst + 10  # a second's worth
    assert len(waiting) == 10
    for body, delay in waiting:
        message = StartBuild.decode(body)
        assert message.turn == world.time.now + delay
    world.time.pass_(3)
    for body, _ in waiting:
        start_build(world.context, StartBuild.decode(body), "again")

    assert len(world.tasks.scheduled) == len(names)


def test_a_turn_that_was_not_used_is_not_kept(world: World) -> None:
    """Those that had theirs, and then waited for a run, do not all go when it is over."""
    settings = replace(world.settings, arm_write_burst=1, arm_writes_per_second=1)
    world.context = replace(world.context, settings=settings)
    turn = world.time.now - timedelta(minutes=2)
    names = [f"task-{number}" for number in range(5)]
    for name in names:
        world.tasks.add(task(name))
        start_build(world.context, StartBuild(PUSH, task(name).id, turn), name)
    waiting = [StartBuild.decode(body).turn for body, _ in world.queue.take(BUILDS)]

    # One at once, one within the second that is not worth a message, the others in their turn.
    assert len(world.tasks.scheduled) == 2
    assert waiting == [world.time.now + timedelta(seconds=number) for number in (2, 3, 4)]


@pytest.mark.parametrize(("seconds", "kept"), [(59, True), (60, True), (61, False)])
def test_a_turn_is_good_for_a_minute(world: World, seconds: int, *, kept: bool) -> None:
    """A message that was delivered late goes on."""
    settings = replace(world.settings, arm_write_burst=1, arm_writes_per_second=1)
    world.context = replace(world.context, settings=settings)
    for name in ("one", "two"):  # the bucket is empty
        world.tasks.add(task(name))
        start_build(world.context, StartBuild(PUSH, task(name).id), name)
    scheduled = len(world.tasks.scheduled)
    turn = world.time.now - timedelta(seconds=seconds)
    start_build(world.context, replace(MESSAGE, turn=turn), "me")

    assert (len(world.tasks.scheduled) > scheduled) is kept


def test_no_time_passes_for_a_denied_registry(world: World) -> None:
    """A refusal needs no follower."""
    world.tasks.failures["schedule"] = [Denied("scheduleRun/action missing")]
    start_build(world.context, MESSAGE, "me")

    assert world.queue.take(RUNS) == []
    assert world.ledger.unsettled() == []


def test_a_foreign_tag_that_cannot_be_looked_at_now_starts_no_new_count(world: World) -> None:
    """The next attempt is on the digests of the one before, as far as anybody can tell."""
    hub = "docker.io/library/alpine:3"
    world.tasks.add(task("build-app", dependency(), dependency(hub)))
    world.foreign.seen[hub] = Seen(NEW)
    start_build(world.context, MESSAGE, "me")
    failed = end(world, RunStatus.FAILED)
    world.time.pass_(300)
    world.foreign.failures = [TransientError("no answer")]
    start_build(world.context, MESSAGE, "me")

    assert (head(world).attempt, head(world).bases) == (2, failed.bases)
