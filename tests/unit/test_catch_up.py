"""A plan knows the runs that have ended since tasks were read: nobody tells of those by hand."""

from __future__ import annotations

from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.registries import ForeignRegistry
from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.decisions.unreadable import NotConfigured
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    REFRESH,
    PlanRebuilds,
    Refresh,
    StartBuild,
)
from rebuilder.errors import Denied, RebuilderError, Refused, SourceUnavailable, TransientError
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from tests.unit.fakes import APPS, BASE, NEW, OLD, OTHERS, World, dependency, run, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
ALPINE = Push(ForeignRegistry("docker.io"), "library/alpine", "3", NEW, None, "poll")


@pytest.fixture(autouse=True)
def _index(world: World) -> None:
    """A task of which nothing is recorded, and whose build file cannot be read, was read."""
    world.sources.failure = SourceUnavailable("the token has expired")
    world.tasks.add(replace(task("build-app", dependency()), dependencies=()))
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    world.time.pass_(60)


def ended(world: World, *, seconds: int = 7, status: RunStatus = RunStatus.SUCCEEDED) -> None:
    """Have the task's first run end by hand, just before the push."""
    finished = world.time.now - timedelta(seconds=seconds)
    world.tasks.found_runs["ca0"] = replace(
        run("ca0", status=status, started=finished), finished=finished, task="build-app"
    )
    world.tasks.add(task("build-app", dependency(built_on=OLD)))


def planned(world: World) -> list[str]:
    """Plan, and return the tasks that are to be built."""
    plan_rebuilds(world.context, PlanRebuilds(PUSH))
    return [StartBuild.decode(body).task.name for body, _ in world.queue.take(BUILDS)]


def test_a_task_whose_first_run_ended_just_before_the_push_is_planned(world: World) -> None:
    """It is read again, for its run has told what it stands on."""
    ended(world)

    assert planned(world) == ["build-app"]


def test_what_was_read_since_is_not_read_again(world: World) -> None:
    """The runs tell that nothing has ended since."""
    ended(world, seconds=3600)
    world.tasks.read.clear()
    planned(world)

    assert task().id not in world.tasks.read


def test_a_run_that_failed_tells_nothing(world: World) -> None:
    """ACR records what a run stood on when it succeeds."""
    ended(world, status=RunStatus.FAILED)
    world.tasks.read.clear()
    planned(world)

    assert task().id not in world.tasks.read


@pytest.mark.parametrize("error", [Denied("no role"), TransientError("503")])
def test_runs_that_cannot_be_listed_keep_no_plan_from_being_made(
    world: World, error: RebuilderError
) -> None:
    """What the index knows is planned; the rest a sweep finds."""
    world.tasks.add(task("other", dependency(built_on=OLD)))
    scan_registry(world.context, APPS)
    world.tasks.failures["runs"] = [error, error]

    assert planned(world) == ["other"]


def test_a_task_that_cannot_be_read_again_keeps_no_plan_from_being_made(world: World) -> None:
    """It is as the index has it."""
    ended(world)
    world.tasks.denied.add(task().id)

    assert planned(world) == []


def test_a_task_whose_files_cannot_be_read_now_is_read_later(world: World) -> None:
    """What a commit changed in them would be unknown until the whole registry is read."""
    ended(world)
    world.sources.failure = TransientError("429")
    world.queue.take(REFRESH)
    planned(world)

    ((asked, wait),) = world.queue.take(REFRESH)
    assert Refresh.decode(asked).task == task().id
    assert wait > timedelta()
    planned(world)
    assert world.queue.take(REFRESH) == []


def test_a_foreign_push_that_no_poll_told_of_starts_nothing(world: World) -> None:
    """Whoever writes a message into a queue does not make a digest up."""
    world.tasks.add(task("build-app", dependency("docker.io/library/alpine:3", OLD)))
    scan_registry(world.context, APPS)
    world.foreign.failures = [Refused("NotPolled", "no")] * 2
    with pytest.raises(Refused, match="NotPolled"):
        start_build(world.context, StartBuild(ALPINE, task().id), "me")

    assert world.tasks.scheduled == []


def test_a_foreign_registry_that_is_not_polled_starts_nothing(world: World) -> None:
    """Neither is a push of it planned."""
    world.tasks.add(task("build-app", dependency("docker.io/library/alpine:3", OLD)))
    scan_registry(world.context, APPS)
    settings = replace(world.settings, poll_hosts=("quay.io",))
    context = replace(world.context, settings=settings)
    found = start_build(context, StartBuild(ALPINE, task().id), "me")

    assert isinstance(found, NotConfigured)
    assert found.setting == "REBUILDER_POLL_HOSTS"
    assert plan_rebuilds(context, PlanRebuilds(ALPINE)) == []
    assert world.tasks.scheduled == []
