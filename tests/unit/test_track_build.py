from __future__ import annotations

from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.tasks import DockerStep, RunStatus
from rebuilder.core.dependencies.evidence import ImageContent
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    REFRESH,
    RUNS,
    Refresh,
    StartBuild,
    TrackBuild,
)
from rebuilder.core.rebuilds.rebuild import Check, Rebuild, State
from rebuilder.errors import Conflict, Throttled, TransientError
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from tests.unit.fakes import BASE, NEW, NODE, OLD, FakeImages, World, dependency, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")


@pytest.fixture(name="started")
def _started(world: World) -> Rebuild:
    world.tasks.add(task())
    rebuild = start_build(world.context, StartBuild(PUSH, task().id), "me")
    assert isinstance(rebuild, Rebuild)
    world.queue.sent.clear()
    return rebuild


def message(rebuild: Rebuild) -> TrackBuild:
    """Return the message that follows a rebuild's record."""
    return TrackBuild(rebuild.task, rebuild.sequence, rebuild.version)


def end(world: World, status: RunStatus, **changes: object) -> None:
    """Let the run end."""
    held = world.tasks.found_runs["ca1"]
    world.tasks.found_runs["ca1"] = replace(held, status=status, **changes)  # type: ignore[arg-type] # fields of Run


def test_a_run_is_followed_to_its_end(world: World, started: Rebuild) -> None:
    """Each look at a running run sends the next one; the end is recorded with its outputs."""
    assert track_build(world.context, message(started)) is None
    ((body, delay),) = world.queue.take(RUNS)
    assert delay == world.settings.track_interval
    end(world, RunStatus.SUCCEEDED, output_images=(f"myapps.azurecr.io/app:1@{NEW}",))
    world.tasks.add(task("build-app", dependency(built_on=NEW)))
    done = track_build(world.context, TrackBuild.decode(body))

    assert done is not None
    assert done == world.ledger.head(task().id)
    assert (done.state, done.outcome) == (State.SUCCEEDED, "Succeeded")
    assert done.output_images == (f"myapps.azurecr.io/app:1@{NEW}",)
    assert done.dependencies == (f"{NODE}@{NEW}",)
    assert done.finished_at == world.time.now
    assert world.queue.sent == []
    known = world.index.view(task().id)
    assert known is not None
    assert [d.built_on for d in known.view.dependencies] == [NEW]


def test_followers_that_come_at_the_same_time_become_one(
    world: World, started: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look before either has recorded it: the one that the record names goes on."""
    save = world.ledger.save

    def at_once(rebuild: Rebuild) -> Rebuild:
        monkeypatch.setattr(world.ledger, "save", save)
        track_build(world.context, message(started))
        return save(rebuild)

    monkeypatch.setattr(world.ledger, "save", at_once)
    track_build(world.context, message(started))
    copies = [TrackBuild.decode(body) for body, _ in world.queue.take(RUNS)]
    assert len(copies) == 2
    for copy in copies:
        track_build(world.context, copy)

    assert len(world.queue.take(RUNS)) == 1


def test_what_cannot_be_refreshed_now_is_refreshed_later(world: World, started: Rebuild) -> None:
    """A build file that cannot be read does not keep a rebuild from being over."""
    step = DockerStep("https://github.com/me/app.git", "Dockerfile")
    world.tasks.add(replace(task("build-app", dependency(built_on=NEW)), step=step))
    world.sources.failure = TransientError("503")
    end(world, RunStatus.SUCCEEDED)
    done = track_build(world.context, message(started))

    assert done is not None
    assert done.state is State.SUCCEEDED
    assert [Refresh.decode(body).task for body, _ in world.queue.take(REFRESH)] == [task().id]


@pytest.mark.parametrize(
    "status", [RunStatus.FAILED, RunStatus.CANCELED, RunStatus.ERROR, RunStatus.TIMEOUT]
)
def test_other_ends_are_failures(world: World, started: Rebuild, status: RunStatus) -> None:
    """Every end but success is a failed rebuild with ACR's words."""
    end(world, status, error="no space")
    done = track_build(world.context, message(started))

    assert done is not None
    given_up = status is RunStatus.CANCELED
    assert done.state is (State.GIVEN_UP if given_up else State.FAILED)
    assert done.outcome == f"{status.value}: no space"


def test_an_overtaken_message_is_dropped(world: World, started: Rebuild) -> None:
    """A second message for a record does nothing once the first was worked off."""
    track_build(world.context, message(started))
    world.queue.sent.clear()
    end(world, RunStatus.SUCCEEDED)

    assert track_build(world.context, message(started)) is None
    assert world.queue.sent == []
    assert track_build(world.context, replace(message(started), sequence=9)) is None


def test_two_messages_at_once_are_one(
    world: World, started: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conflict means that the other message goes on."""

    def conflict(*_: object) -> Rebuild:
        raise Conflict("changed")

    monkeypatch.setattr(type(world.ledger), "save", conflict)

    assert track_build(world.context, message(started)) is None


def test_throttling_changes_nothing(world: World, started: Rebuild) -> None:
    """Whoever delivers the message has it come back when ARM allows it."""
    world.tasks.failures["run"] = [Throttled("slow", timedelta(seconds=9))]

    with pytest.raises(Throttled):
        track_build(world.context, message(started))
    assert world.ledger.rebuild(started.task, started.sequence) == started


def test_a_run_that_is_gone_is_an_outcome(world: World, started: Rebuild) -> None:
    """A run that ARM does not know any more ends the rebuild."""
    world.tasks.found_runs.clear()
    done = track_build(world.context, message(started))

    assert done is not None
    assert done.state is State.FAILED


def test_a_task_that_is_gone_has_no_dependencies(world: World, started: Rebuild) -> None:
    """The outcome is recorded even if the task was deleted meanwhile."""
    end(world, RunStatus.SUCCEEDED)
    world.tasks.known.clear()
    done = track_build(world.context, message(started))

    assert done is not None
    assert (done.state, done.dependencies) == (State.SUCCEEDED, ())


def _pushes_an_image(world: World) -> FakeImages:
    """Let the run end, with one image."""
    pushed = (f"myapps.azurecr.io/app:1@{NEW}",)
    end(world, RunStatus.SUCCEEDED, output_images=pushed)
    images = world.context.images
    assert isinstance(images, FakeImages)
    return images


def test_an_image_that_cannot_be_read_now_is_looked_at_again(
    world: World, started: Rebuild
) -> None:
    """One throttled request would leave unknown for ever what the image stands on."""
    images = _pushes_an_image(world)
    images.failure = Throttled("slow", timedelta(seconds=9))

    assert track_build(world.context, message(started)) is None
    waiting = world.ledger.head(task().id)
    assert waiting is not None
    assert (waiting.state, waiting.check) == (State.RUNNING, None)
    assert waiting.advice == "run ca1 succeeded; what it pushed is looked at again: slow"
    ((body, delay),) = world.queue.take(RUNS)
    assert delay == world.settings.track_interval

    images.failure = None
    images.contents[f"myapps.azurecr.io/app:{NEW}"] = ImageContent(
        digest=NEW, manifest=NEW, layers=("sha256:a",), base_name=NODE, base_digest=NEW
    )
    done = track_build(world.context, TrackBuild.decode(body))
    assert done is not None
    assert (done.state, done.check, done.advice) == (State.SUCCEEDED, Check.NEW, None)


@pytest.mark.parametrize("clock", [timedelta(), timedelta(days=3), timedelta(days=-3)])
def test_an_image_is_not_waited_for_without_end(
    world: World, started: Rebuild, clock: timedelta
) -> None:
    """After sixty looks it is unknown what it stands on, whatever the clock says."""
    _pushes_an_image(world).failure = Throttled("slow", timedelta(seconds=9))
    world.time.now += clock
    looks, body = 1, message(started).encode()
    while (done := track_build(world.context, TrackBuild.decode(body))) is None:
        ((body, _),) = world.queue.take(RUNS)
        looks += 1

    assert looks == 61
    assert (done.state, done.check) == (State.SUCCEEDED, Check.UNKNOWN)
    assert done.check_reason == "it could not be read: slow"


def _is_unknown(world: World, started: Rebuild) -> str:
    """Settle a rebuild whose image could not be read; return the message of the look after it."""
    _pushes_an_image(world).failure = TransientError("no answer")
    done = track_build(world.context, replace(message(started), unread=60))
    assert done is not None
    assert (done.state, done.check, done.due) == (State.SUCCEEDED, Check.UNKNOWN, None)
    ((body, delay),) = world.queue.take(RUNS)
    assert delay == timedelta(minutes=10)
    return body


@pytest.mark.parametrize("old", [False, True])
def test_an_image_that_could_not_be_read_is_looked_at_once_more(
    world: World, started: Rebuild, *, old: bool
) -> None:
    """Nobody waits for that: the rebuild is over. One that is stale is repaired."""
    body = _is_unknown(world, started)
    over = world.ledger.head(task().id)
    assert over is not None
    world.time.pass_(600)
    images = world.images
    images.failure = None
    images.contents |= {
        f"myapps.azurecr.io/app:{NEW}": ImageContent(
            NEW, NEW, base_name=NODE, base_digest=OLD if old else NEW, layers=("sha256:a",)
        ),
        f"mybase.azurecr.io/images/node:{NEW}": ImageContent(NEW, NEW, layers=("sha256:b",)),
    }
    world.tasks.found_runs.clear()  # what ACR keeps of a run may be gone by then
    world.queue.take(BUILDS)
    done = track_build(world.context, TrackBuild.decode(body))

    assert done is not None
    assert (done.state, done.finished_at) == (State.SUCCEEDED, over.finished_at)
    assert done.check is (Check.STALE if old else Check.NEW)
    assert done.repairable == old
    assert len(world.queue.take(BUILDS)) == old
    assert track_build(world.context, TrackBuild.decode(body)) is None  # delivered again


def test_what_cannot_be_read_for_hours_stays_unknown(world: World, started: Rebuild) -> None:
    """After ten minutes, an hour, and six."""
    body = _is_unknown(world, started)
    waits = []
    while body:
        assert track_build(world.context, TrackBuild.decode(body)) is None
        sent = world.queue.take(RUNS)
        body = sent[0][0] if sent else ""
        waits += [delay for _, delay in sent]

    assert waits == [timedelta(hours=1), timedelta(hours=6)]
    done = world.ledger.head(task().id)
    assert done is not None
    assert (done.state, done.check) == (State.SUCCEEDED, Check.UNKNOWN)


@pytest.mark.parametrize(
    "case", ["another rebuild", "another record", "still running", "task gone"]
)
def test_nobody_looks_once_more_at_what_was_overtaken(
    world: World, started: Rebuild, case: str
) -> None:
    """Whoever overtook it looks at what came of that."""
    body = _is_unknown(world, started)
    over = world.ledger.head(task().id)
    assert over is not None
    if case == "another rebuild":
        world.ledger.claim(replace(over, sequence=over.sequence + 1, state=State.CLAIMED))
    elif case == "another record":
        world.ledger.save(over)
    elif case == "still running":
        # Whoever sent the message could not record that it was over: another was quicker.
        running = world.ledger.save(replace(over, state=State.RUNNING, check=None))
        body = replace(TrackBuild.decode(body), record=running.version).encode()
    else:
        world.tasks.known.clear()
    world.images.failure = None
    before = world.ledger.head(task().id)

    assert track_build(world.context, TrackBuild.decode(body)) is None
    assert world.ledger.head(task().id) == before
    assert world.queue.take(RUNS) == []


@pytest.mark.parametrize(("unread", "waits"), [(59, True), (60, False)])
def test_a_log_that_cannot_be_read_now_is_looked_at_again(
    world: World, started: Rebuild, unread: int, *, waits: bool
) -> None:
    """It may be all that tells what a run used."""
    _pushes_an_image(world)
    world.tasks.add(task("build-app", dependency(built_on=OLD)))
    world.tasks.failures["log"] = [TransientError("no answer")]
    done = track_build(world.context, replace(message(started), unread=unread))

    assert (done is None) == waits
    assert done is None or done.check is Check.UNKNOWN


@pytest.mark.parametrize(("unread", "waits"), [(59, True), (60, False)])
def test_a_time_that_cannot_be_read_now_is_looked_at_again(
    world: World, started: Rebuild, unread: int, *, waits: bool
) -> None:
    """It tells a replica that was behind, which is repaired, from a cache, which is not."""
    images = _pushes_an_image(world)
    begun = world.tasks.found_runs["ca1"]
    world.tasks.found_runs["ca1"] = replace(begun, started=world.time.now - timedelta(hours=1))
    images.contents |= {
        f"myapps.azurecr.io/app:{NEW}": ImageContent(
            NEW, NEW, base_name=NODE, base_digest=OLD, layers=("sha256:a",)
        ),
        f"mybase.azurecr.io/images/node:{NEW}": ImageContent(NEW, NEW, layers=("sha256:b",)),
    }
    images.no_times = TransientError("no answer")
    done = track_build(world.context, replace(message(started), unread=unread))

    assert (done is None) == waits
    assert done is None or done.check is Check.STALE
