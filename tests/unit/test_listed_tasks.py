"""What a list told of a task some seconds ago starts a run only if it is true now."""

from __future__ import annotations

from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.tasks import RunStatus, Task
from rebuilder.core.decisions.digests import AlreadyBuiltOn
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.decisions.unreadable import TaskGone
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import NotFound
from rebuilder.ports.acr import LATELY
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from tests.unit.fakes import BASE, NEW, NEWER, NODE, OLD, World, dependency, run, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
MESSAGE = StartBuild(PUSH, task().id)
AGE = timedelta(seconds=3)


def listed(world: World, was: Task, now: Task | None = None, age: timedelta = AGE) -> None:
    """Have a list tell what a task was, a while ago."""
    world.tasks.listed_before[was.id] = replace(was, age=age)
    world.tasks.add(was if now is None else now)
    world.tasks.read.clear()


def built(digest: str) -> Task:
    """Return the task as ACR records it after a run on a digest."""
    return task("build-app", dependency(built_on=digest))


def read_at(world: World) -> timedelta:
    """Return how long ago the index was read."""
    known = world.index.view(task().id)
    assert known is not None
    return world.time.now - known.read_at


def test_a_list_starts_what_is_due(world: World) -> None:
    """Nothing else is read of the task; the index is as old as the list."""
    listed(world, task())
    rebuild = start_build(world.context, MESSAGE, "me")

    assert isinstance(rebuild, Rebuild)
    assert rebuild.state is State.SCHEDULED
    assert world.tasks.read == []
    assert read_at(world) == AGE


def test_an_older_list_starts_nothing(world: World) -> None:
    """A few seconds are allowed, and not one more."""
    listed(world, task(), built(NEW), LATELY + timedelta(seconds=1))

    assert isinstance(start_build(world.context, MESSAGE, "me"), AlreadyBuiltOn)
    assert world.tasks.scheduled == []


@pytest.mark.parametrize("was", [task(enabled=False), built(NEW)], ids=["disabled", "built"])
def test_a_list_leaves_nothing_alone(world: World, was: Task) -> None:
    """It may have been enabled since, or its record be of another run: its own word counts."""
    listed(world, was, task())
    rebuild = start_build(world.context, MESSAGE, "me")

    assert isinstance(rebuild, Rebuild)
    assert world.tasks.read == [task().id]
    assert [record.decision.code for record in world.ledger.decisions(PUSH)] == []


def test_what_is_still_so_is_decided_once(world: World) -> None:
    """The task that is read by itself confirms what the list told."""
    listed(world, task(enabled=False))

    assert start_build(world.context, MESSAGE, "me") == TaskDisabled(task().id)
    assert world.tasks.read == [task().id]


def test_a_task_that_is_gone_meanwhile_is_left_alone(world: World) -> None:
    """ARM takes no run of it, and then it is asked for by itself."""
    listed(world, task())
    world.tasks.known.clear()
    world.tasks.failures["schedule"] = [NotFound("no such task")]

    assert start_build(world.context, MESSAGE, "me") == TaskGone(task().id)
    assert world.tasks.scheduled == []


def test_a_task_that_is_gone_when_it_is_read_is_left_alone(world: World) -> None:
    """A list that would have it left alone for something else is not the last word."""
    listed(world, task(enabled=False))
    world.tasks.known.clear()

    assert start_build(world.context, MESSAGE, "me") == TaskGone(task().id)


@pytest.mark.parametrize(
    ("was", "reads"), [(OLD, 1), (NEW, 0)], ids=["before the rebuild", "as the rebuild left it"]
)
def test_a_list_from_before_the_last_rebuild_is_not_believed(
    world: World, was: str, reads: int
) -> None:
    """It has to tell what that one left as record; no clock is asked."""
    world.tasks.add(task())
    first = start_build(world.context, MESSAGE, "me")
    assert isinstance(first, Rebuild)
    over = replace(run("ca1"), status=RunStatus.SUCCEEDED)
    world.tasks.found_runs["ca1"] = over
    world.tasks.add(built(NEW))
    track_build(world.context, TrackBuild(first.task, first.sequence, first.version))
    world.images.digests[NODE] = NEWER
    world.images.came[NEWER] = world.time.now
    world.time.pass_(60)
    if reads:  # somebody has run it by hand since
        world.tasks.found_runs["theirs"] = replace(over, run_id="theirs", started=world.time.now)
    listed(world, built(was), built(NEWER if reads else NEW))
    answer = start_build(world.context, replace(MESSAGE, push=replace(PUSH, digest=NEWER)), "you")

    assert world.tasks.read == [task().id] * reads
    assert isinstance(answer, AlreadyBuiltOn if reads else Rebuild)


@pytest.mark.parametrize(("ago", "reads"), [(1, 1), (7, 1), (9, 0)])
def test_a_list_from_before_a_run_of_others_is_not_believed(
    world: World, ago: int, reads: int
) -> None:
    """It changed the record; its times are of another clock than ours, a few seconds off."""
    began = world.time.now
    world.time.pass_(60)
    ended = world.time.now - timedelta(seconds=ago)
    world.tasks.found_runs["theirs"] = run(
        "theirs", status=RunStatus.SUCCEEDED, trigger="Commit", started=began, finished=ended
    )
    world.images.came[NEW] = began - timedelta(seconds=1)
    was = replace(task(), other_triggers=True)
    listed(world, was, replace(built(NEW), other_triggers=True))
    answer = start_build(world.context, MESSAGE, "me")

    assert world.tasks.read == [task().id] * reads
    assert isinstance(answer, AlreadyBuiltOn if reads else Rebuild)


def ended(world: World, status: RunStatus = RunStatus.SUCCEEDED, ago: float = 10) -> TrackBuild:
    """Start a rebuild and let its run end some seconds ago; return the message that follows it."""
    world.tasks.add(task())
    rebuild = start_build(world.context, MESSAGE, "me")
    assert isinstance(rebuild, Rebuild)
    world.time.pass_(60)
    finished = world.time.now - timedelta(seconds=ago)
    world.tasks.found_runs["ca1"] = replace(run("ca1"), status=status, finished=finished)
    return TrackBuild(rebuild.task, rebuild.sequence, rebuild.version)


def test_a_list_tells_what_a_run_left(world: World) -> None:
    """It was begun after the run had ended, and names what the run was for."""
    message = ended(world)
    listed(world, built(NEW))
    done = track_build(world.context, message)

    assert done is not None
    assert done.dependencies == (f"{NODE}@{NEW}",)
    assert world.tasks.read == []
    assert read_at(world) == AGE


@pytest.mark.parametrize(
    ("was", "now", "ago"),
    [
        (built(OLD), built(NEW), 10),
        (task("build-app", dependency("mybase.azurecr.io/images/go:1")), built(NEW), 10),
        (built(NEW), built(NEWER), 2),
    ],
    ids=["not recorded yet", "of another base", "from before the end"],
)
def test_what_a_list_does_not_tell_of_a_run_is_read(
    world: World, was: Task, now: Task, ago: float
) -> None:
    """Its task is read by itself, as where one run ends alone."""
    message = ended(world, ago=ago)
    listed(world, was, now)
    done = track_build(world.context, message)

    assert done is not None
    assert done.dependencies == now.built_on
    assert world.tasks.read == [task().id]
    assert read_at(world) == timedelta()


def test_a_run_that_failed_has_its_task_read(world: World) -> None:
    """It recorded nothing by which a list could be known to be new."""
    message = ended(world, RunStatus.FAILED)
    listed(world, built(NEW), task())
    done = track_build(world.context, message)

    assert done is not None
    assert done.dependencies == task().built_on
    assert world.tasks.read == [task().id]
