from __future__ import annotations

from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.registries import ForeignRegistry
from rebuilder.core.acr.tasks import (
    IMAGE_UPDATE,
    DockerStep,
    Kind,
    Run,
    RunStatus,
    Task,
    TriggerType,
)
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.digests import AlreadyBuiltOn
from rebuilder.core.decisions.rebuilds import RebuildFailed
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import BUILDS, REFRESH, Refresh, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import Native, Rebuild, State
from rebuilder.errors import TransientError
from rebuilder.ports.foreign import Seen
from rebuilder.usecases.build._native import could_see, newest_runs, wait_until
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.index.refresh_index import scan_registry
from tests.unit.fakes import BASE, NEW, NEWER, NODE, OLD, World, dependency, run, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
MESSAGE = StartBuild(PUSH, task().id)
MINUTE = timedelta(minutes=1)
ALPINE = "docker.io/library/alpine:3"


def native_task(kind: Kind = Kind.RUNTIME) -> Task:
    """Return a task whose own trigger is on."""
    found = task("build-app", dependency(kind=kind), trigger=TriggerType.RUNTIME)
    return replace(found, native_trigger=True)


def head(world: World) -> Rebuild:
    """Return the newest rebuild of the task."""
    found = world.ledger.head(task().id)
    assert found is not None
    return found


def native(world: World, digest: str = NEW) -> None:
    """Let ACR's own trigger start a run."""
    moved = (f"{NODE}@{digest}",)
    world.tasks.found_runs["native"] = run("native", trigger=IMAGE_UPDATE, moved=moved)


def adopted_beside_a_foreign_image(world: World) -> Run:
    """Have a native run adopted of a task that reads a foreign image, too; return the run."""
    world.foreign.seen[ALPINE] = Seen(NEWER)
    found = task("build-app", dependency(), dependency(ALPINE))
    world.tasks.add(replace(found, native_trigger=True))
    native(world)
    began = replace(world.tasks.found_runs["native"], started=world.time.now)
    world.tasks.found_runs["native"] = began
    start_build(world.context, MESSAGE, "me")
    return began


def held(world: World) -> StartBuild:
    """Start a build that waits for the native trigger; return the message that comes back."""
    world.tasks.add(native_task())
    assert start_build(world.context, MESSAGE, "me") is None
    ((body, delay),) = world.queue.take(BUILDS)
    assert delay == timedelta(minutes=2)
    assert (head(world).state, head(world).due) == (State.HELD, world.time.now + delay)
    return StartBuild.decode(body)


def test_the_native_run_is_adopted(world: World) -> None:
    """It is followed as if it were ours, and nothing is scheduled beside it."""
    message = held(world)
    native(world)
    world.time.pass_(120)
    start_build(world.context, message, "me")

    assert (head(world).state, head(world).run_id) == (State.SCHEDULED, "native")
    assert head(world).native is Native.ADOPTED
    assert world.tasks.scheduled == []


def test_a_native_run_that_is_there_already_is_adopted_at_once(world: World) -> None:
    """Nobody needs to wait for what has come."""
    world.tasks.add(native_task())
    native(world)
    start_build(world.context, MESSAGE, "me")

    assert head(world).native is Native.ADOPTED
    assert world.tasks.scheduled == []


def test_a_native_run_that_others_followed_is_not_adopted(world: World) -> None:
    """A tag that went back and came again: the native run of the first time proves nothing."""
    native(world)
    now = world.time.now
    first = replace(
        world.tasks.found_runs["native"], status=RunStatus.SUCCEEDED, finished=now - MINUTE
    )
    world.tasks.found_runs["native"] = first
    world.tasks.found_runs["later"] = run("later", status=RunStatus.SUCCEEDED, finished=now)
    held(world)


def test_a_native_run_that_ended_last_is_adopted(world: World) -> None:
    """The run that ended last made the image, whichever began first."""
    native(world)
    now = world.time.now
    first = replace(world.tasks.found_runs["native"], status=RunStatus.SUCCEEDED, finished=now)
    world.tasks.found_runs["native"] = first
    world.tasks.found_runs["later"] = run(
        "later", status=RunStatus.SUCCEEDED, finished=now - MINUTE
    )
    world.tasks.add(native_task())
    start_build(world.context, MESSAGE, "me")

    assert (head(world).run_id, head(world).native) == ("native", Native.ADOPTED)


def test_a_run_that_failed_since_does_not_hide_the_native_one(world: World) -> None:
    """Only a run that succeeded has changed what the image stands on."""
    native(world)
    first = world.tasks.found_runs["native"]
    world.tasks.found_runs["native"] = replace(first, status=RunStatus.SUCCEEDED)
    world.tasks.found_runs["later"] = run("later", status=RunStatus.FAILED)
    world.tasks.add(native_task())
    start_build(world.context, MESSAGE, "me")

    assert (head(world).run_id, head(world).native) == ("native", Native.ADOPTED)


def test_a_native_run_that_goes_on_is_adopted_whatever_came_since(world: World) -> None:
    """It will still push: another run beside it would be one too many."""
    native(world)
    world.tasks.found_runs["later"] = run("later", status=RunStatus.SUCCEEDED)
    world.tasks.add(native_task())
    start_build(world.context, MESSAGE, "me")

    assert (head(world).run_id, head(world).native) == ("native", Native.ADOPTED)


@pytest.mark.parametrize("other", [False, True])
def test_we_are_the_net_under_it(world: World, *, other: bool) -> None:
    """If it does not come, or for another digest, the task is built, and that is counted."""
    message = held(world)
    if other:
        native(world, NEWER)
        there = world.tasks.found_runs["native"]
        world.tasks.found_runs["native"] = replace(there, status=RunStatus.FAILED)
    world.time.pass_(119)
    assert start_build(world.context, message, "you") is None
    world.time.pass_(1)
    start_build(world.context, message, "me")

    assert (head(world).state, head(world).native) == (State.SCHEDULED, Native.MISSED)
    assert head(world).claimed_at == world.time.now
    assert len(world.tasks.scheduled) == 1


def test_a_native_run_is_not_adopted_before_older_ones_are_over(world: World) -> None:
    """Whichever ends last makes the image: adopted at once, it might be overwritten later."""
    old = run("older", trigger=IMAGE_UPDATE, moved=(f"{NODE}@{OLD}",))
    world.tasks.found_runs["older"] = old
    native(world)
    world.tasks.add(native_task())
    message = StartBuild(replace(PUSH, pushed_at=world.time.now), task().id)
    assert start_build(world.context, message, "me") is None
    ((body, _),) = world.queue.take(BUILDS)

    now = world.time.now
    for name, ended in (("native", now), ("older", now + MINUTE)):
        there = world.tasks.found_runs[name]
        world.tasks.found_runs[name] = replace(there, status=RunStatus.SUCCEEDED, finished=ended)
    world.time.pass_(180)
    start_build(world.context, StartBuild.decode(body), "me")
    assert (head(world).run_id, head(world).native) == ("ca1", Native.MISSED)


@pytest.mark.parametrize("moved", ["before", "after"])
def test_a_native_run_must_have_used_what_the_other_tags_name(world: World, moved: str) -> None:
    """Two bases that moved one after the other: the run for the first has not seen the second."""
    go = "mybase.azurecr.io/images/go:1"
    world.images.digests[go] = NEWER
    began = world.time.now
    world.images.came[NEWER] = began + (MINUTE if moved == "after" else -MINUTE)
    world.tasks.add(replace(task("build-app", dependency(), dependency(go)), native_trigger=True))
    native(world)
    first = world.tasks.found_runs["native"]
    ended = replace(first, status=RunStatus.SUCCEEDED, started=began, finished=began + MINUTE)
    world.tasks.found_runs["native"] = ended
    message = StartBuild(replace(PUSH, pushed_at=began - MINUTE), task().id)
    world.time.pass_(180)
    start_build(world.context, message, "me")

    adopted = ("native", Native.ADOPTED) if moved == "before" else ("ca1", Native.MISSED)
    assert (head(world).run_id, head(world).native) == adopted


def test_an_older_run_may_yet_undo_what_is_recorded(world: World) -> None:
    """The record names the new digest, but a run that began before it goes on."""
    ended = world.time.now - MINUTE
    new = run("new", status=RunStatus.SUCCEEDED, started=ended - MINUTE, finished=ended)
    world.images.came[NEW] = ended - 2 * MINUTE
    world.tasks.found_runs = {"old": run("old", started=ended - 3 * MINUTE), "new": new}
    found = task("build-app", dependency(built_on=NEW))
    world.tasks.add(replace(found, native_trigger=True))
    assert start_build(world.context, MESSAGE, "me") is None
    assert len(world.queue.take(BUILDS)) == 1

    world.tasks.found_runs.pop("old")
    assert isinstance(start_build(world.context, MESSAGE, "me"), AlreadyBuiltOn)


def test_a_native_run_for_an_image_that_came_back_after_it_began_is_not_adopted(
    world: World,
) -> None:
    """It was late: when it began, the tag named the next image already."""
    world.tasks.add(native_task())
    world.images.came[NEW] = world.time.now - 10 * MINUTE
    other = replace(PUSH, digest=NEWER, pushed_at=world.time.now - 2 * MINUTE)
    world.ledger.record_events([other], world.time.now)
    native(world)
    late = world.tasks.found_runs["native"]
    world.tasks.found_runs["native"] = replace(late, started=world.time.now - MINUTE)
    world.images.written[NODE] = world.time.now
    start_build(world.context, MESSAGE, "me")

    found = world.ledger.head(task().id)
    assert found is None or found.native is not Native.ADOPTED


def test_an_adopted_run_claims_no_foreign_digest_that_it_may_have_missed(world: World) -> None:
    """The tag may have moved while it ran, before any poll saw it: the poll is to decide."""
    adopted_beside_a_foreign_image(world)

    assert (head(world).run_id, head(world).bases) == ("native", (f"{NODE}@{NEW}",))


def test_a_cancelled_native_run_gives_up_no_digest_that_it_had_not_used(world: World) -> None:
    """Somebody did not want that run, which had begun before the foreign tag moved."""
    began = adopted_beside_a_foreign_image(world)
    ended = replace(began, status=RunStatus.CANCELED, finished=world.time.now)
    world.tasks.found_runs["native"] = ended
    track_build(world.context, TrackBuild(head(world).task, 1, head(world).version))
    assert head(world).state is State.GIVEN_UP
    assert isinstance(start_build(world.context, MESSAGE, "me"), RebuildFailed)

    push = Push(ForeignRegistry("docker.io"), "library/alpine", "3", NEWER, None, "poll")
    world.ledger.record_events([push], world.time.now)
    start_build(world.context, StartBuild(push, head(world).task), "me")
    world.time.pass_(2 * 3600)
    start_build(world.context, StartBuild(push, head(world).task), "me")
    assert head(world).state is State.SCHEDULED
    assert head(world).bases == (f"{ALPINE}@{NEWER}", f"{NODE}@{NEW}")


@pytest.mark.parametrize("by", ["its base image", "a commit"])
def test_a_run_of_others_is_waited_for(world: World, by: str) -> None:
    """It may stand on the older image and end last: two runs at once leave the image to chance."""
    if by == "a commit":
        world.tasks.add(replace(task(), other_triggers=True))
        world.tasks.found_runs["theirs"] = run("theirs")
        message = MESSAGE
    else:
        message = held(world)
        world.time.pass_(120)
        moved = (f"{NODE}@{NEWER}",)
        world.tasks.found_runs["theirs"] = run("theirs", trigger=IMAGE_UPDATE, moved=moved)
    assert start_build(world.context, message, "me") is None
    ((body, delay),) = world.queue.take(BUILDS)
    assert delay == world.context.settings.track_interval
    assert world.tasks.scheduled == []

    theirs = world.tasks.found_runs["theirs"]
    world.tasks.found_runs["theirs"] = replace(theirs, status=RunStatus.SUCCEEDED)
    start_build(world.context, StartBuild.decode(body), "me")
    assert head(world).state is State.SCHEDULED
    assert len(world.tasks.scheduled) == 1


@pytest.mark.parametrize(
    ("lasted", "wait"),
    [(0, 15), (60, 15), (240, 60), (3600, 300)],
)
def test_what_has_taken_long_is_looked_at_less_often(world: World, lasted: int, wait: int) -> None:
    """A quarter of what it has taken so far, between 15 seconds and five minutes."""
    world.tasks.add(replace(task(), other_triggers=True))
    began = world.time.now - timedelta(seconds=lasted)
    world.tasks.found_runs["theirs"] = run("theirs", created=began)
    start_build(world.context, MESSAGE, "me")

    ((_, delay),) = world.queue.take(BUILDS)
    assert delay == timedelta(seconds=wait)


@pytest.mark.parametrize("readable", [True, False])
def test_what_a_commit_changed_is_read_before_deciding(world: World, *, readable: bool) -> None:
    """A run of others that ended since the index was read may be one of another build file."""
    step = DockerStep("https://github.com/contoso/app.git#main", "Dockerfile", images=("app:1",))
    file = (step.context, step.dockerfile)
    world.sources.files[file] = f"FROM {NODE}\n".encode()
    world.tasks.add(replace(task(), other_triggers=True, step=step))
    scan_registry(world.context, task().id.registry)
    world.time.pass_(60)
    ended = world.time.now
    world.tasks.found_runs["theirs"] = run("theirs", status=RunStatus.SUCCEEDED, finished=ended)
    go = dependency("mybase.azurecr.io/images/go:1")
    world.tasks.add(replace(task("build-app", go), other_triggers=True, step=step))
    world.sources.files[file] = b"FROM mybase.azurecr.io/images/go:1\n"
    world.sources.failure = None if readable else TransientError("no answer")
    world.time.pass_(60)
    start_build(world.context, MESSAGE, "me")

    asked = [Refresh.decode(body).task for body, _ in world.queue.take(REFRESH)]
    assert asked == ([] if readable else [task().id])
    assert len(world.tasks.scheduled) == (0 if readable else 1)


def test_without_triggers_runs_are_not_listed(world: World) -> None:
    """A list of runs is an ARM request for each build; runs by hand are not worth it."""
    world.tasks.add(task())
    world.tasks.found_runs["by hand"] = run("by hand")
    start_build(world.context, MESSAGE, "me")

    assert len(world.tasks.scheduled) == 1


def test_a_late_event_has_waited_already(world: World) -> None:
    """The wait counts from the push, not from when we hear of it."""
    world.tasks.add(native_task())
    pushed = world.time.now - timedelta(minutes=3)
    start_build(world.context, StartBuild(replace(PUSH, pushed_at=pushed), task().id), "me")

    assert (head(world).state, head(world).native) == (State.SCHEDULED, Native.MISSED)


def test_what_it_cannot_see_is_ours_at_once(world: World) -> None:
    """A Runtime trigger does not follow build-time images."""
    world.tasks.add(native_task(Kind.BUILD_TIME))
    start_build(world.context, MESSAGE, "me")

    assert (head(world).state, head(world).native) == (State.SCHEDULED, None)


def test_a_trigger_that_was_switched_off_is_not_waited_for(world: World) -> None:
    """What was held for it is built when somebody looks."""
    message = held(world)
    world.tasks.add(task())
    start_build(world.context, message, "me")

    assert (head(world).state, head(world).native) == (State.SCHEDULED, None)


def test_a_newer_digest_replaces_what_is_held(world: World) -> None:
    """The older digests are not waited for any more."""
    message = held(world)
    world.images.digests[NODE] = NEWER
    start_build(world.context, message, "me")

    first = world.ledger.rebuild(task().id, 1)
    assert first is not None
    assert (first.state, first.outcome) == (
        State.SKIPPED,
        "the base moved on before a run was scheduled",
    )
    assert (head(world).sequence, head(world).state) == (2, State.HELD)


def test_what_is_held_may_not_be_wanted_any_more(world: World) -> None:
    """The native run has come and gone, and ACR's record says so: the wait is over."""
    message = held(world)
    world.tasks.add(replace(native_task(), dependencies=(dependency(built_on=NEW),)))
    assert isinstance(start_build(world.context, message, "me"), AlreadyBuiltOn)

    assert head(world).state is State.SKIPPED
    assert world.ledger.unsettled() == []


@pytest.mark.parametrize(("host", "seen"), [("docker.io", True), ("ghcr.io", False)])
def test_of_foreign_registries_acr_polls_two(world: World, host: str, *, seen: bool) -> None:
    """Docker Hub and MCR only, and within an hour, which is waited for."""
    push = Push(ForeignRegistry(host), "library/node", "9", NEW, None, "poll")
    world.images.digests.clear()
    image = dependency(f"{host}/library/node:9")
    found = replace(task("build-app", image), native_trigger=True)

    assert could_see(found, Base(image.reference, NEW, "event"), push) is seen
    assert wait_until(world.context, push) == world.time.now + timedelta(minutes=62)


def test_docker_hub_has_several_names(world: World) -> None:
    """ACR tells of its images as registry.hub.docker.com; what it cannot name is left out."""
    base = Base(dependency("docker.io/library/node:9").reference, NEW, "event")
    moved = ("Not/An/Image", f"registry.hub.docker.com/library/node:9@{NEW}")
    world.tasks.found_runs["native"] = run("native", trigger=IMAGE_UPDATE, moved=moved)
    found = newest_runs(world.context, native_task()).native(base)

    assert found is not None
    assert found.run_id == "native"
