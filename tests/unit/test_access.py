from __future__ import annotations

from copy import replace

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import DockerStep, RunStatus, Task
from rebuilder.core.decisions.runs import MayNotPull
from rebuilder.core.decisions.uses import NotAllKnown, NothingRecorded
from rebuilder.core.dependencies.evidence import TaskView
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import BUILDS, RUNS, PlanRebuilds, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.errors import Denied
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.reports.explain import explain
from tests.unit.fakes import BASE, NEW, NODE, World, task
from tests.unit.fakes import run as a_run

HOST = "mybase.azurecr.io"
PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
NO_FILE = "Dockerfile: Dockerfile of https://github.com/contoso/private.git"
UNBUILT = replace(
    task(),
    dependencies=(),
    principals=("me",),
    signs_in_to=frozenset({HOST}),
    step=DockerStep("https://github.com/contoso/private.git", "Dockerfile", images=("app:1",)),
)


def told(world: World, given: Task) -> object:
    """Plan a push for one task; return what is told of it: nothing else is decided."""
    world.tasks.add(given)
    world.ledger.record_events([PUSH], world.time.now)
    assert plan_rebuilds(world.context, PlanRebuilds(PUSH)) == []
    (explained,) = explain(world.context, ImageReference.parse(NODE)).decisions
    assert explained.derived
    return explained.record.decision


def test_a_task_that_never_built_tells_the_missing_role(world: World) -> None:
    """It signs in to the base registry, so it is meant to be built on it, and may not pull."""
    assert told(world, UNBUILT) == MayNotPull(UNBUILT.id, str(BASE), HOST, ("me",), "AcrPull")


def test_who_may_pull_lacks_no_role(world: World) -> None:
    """One identity that may pull is enough: ARM does not show which one the task signs in with."""
    world.access.pullers = {"other"}
    decision = told(world, replace(UNBUILT, principals=("me", "other")))

    assert decision == NotAllKnown(UNBUILT.id, (), NO_FILE)


@pytest.mark.parametrize(
    "given",
    [
        replace(UNBUILT, signs_in_to=frozenset()),  # nothing says that it needs that registry
        replace(UNBUILT, principals=()),  # it signs in with a password
    ],
)
def test_what_is_not_known_is_not_claimed(world: World, given: Task) -> None:
    """Without evidence the reason stays that nothing is recorded and no file can be read."""
    assert told(world, given) == NotAllKnown(given.id, (), NO_FILE)


def test_roles_that_may_not_be_read_stop_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The function app may lack the role to read roles; that stops nothing, and the log tells."""
    world.access.failure = Denied("roleAssignments/read is missing")

    assert told(world, UNBUILT) == NotAllKnown(UNBUILT.id, (), NO_FILE)
    assert "roleAssignments/read is missing" in caplog.text


@pytest.mark.parametrize(
    ("statuses", "run", "status"),
    [
        ((), None, None),
        ((RunStatus.FAILED, RunStatus.RUNNING), "ca2", "Running"),
        ((RunStatus.FAILED,), "ca1", "Failed"),
        ((RunStatus.SUCCEEDED, RunStatus.FAILED), "ca1", "Succeeded"),
    ],
)
def test_of_what_nothing_is_recorded_the_runs_are_told(
    world: World, statuses: tuple[RunStatus, ...], run: str | None, status: str | None
) -> None:
    """That it ran and failed is no reason to tell a person to run it."""
    bare = replace(task(), dependencies=(), step=None)
    world.index.replace(TaskView(bare.id, (), (), ()), world.time.now)
    world.tasks.found_runs = {
        f"ca{number}": a_run(f"ca{number}", status=each)
        for number, each in enumerate(statuses, start=1)
    }
    world.tasks.add(bare)
    world.ledger.record_events([PUSH], world.time.now)
    (explained,) = explain(world.context, ImageReference.parse(NODE)).decisions

    assert explained.record.decision == NothingRecorded(bare.id, asked=True, run=run, status=status)


def test_runs_that_may_not_be_read_are_not_told_of(world: World) -> None:
    """The decision stands without them."""
    bare = replace(task(), dependencies=(), step=None)
    world.index.replace(TaskView(bare.id, (), (), ()), world.time.now)
    world.tasks.add(bare)
    world.tasks.failures = {"runs": [Denied("no role")]}

    world.ledger.record_events([PUSH], world.time.now)
    (explained,) = explain(world.context, ImageReference.parse(NODE)).decisions
    assert explained.record.decision == NothingRecorded(bare.id)


def failed(world: World, given: Task, status: RunStatus = RunStatus.FAILED) -> Rebuild:
    """Rebuild a task with a run that ends with a status; return the rebuild."""
    world.tasks.add(given)
    start_build(world.context, StartBuild(PUSH, given.id), "me")
    world.queue.take(BUILDS)
    world.tasks.found_runs["ca1"] = replace(world.tasks.found_runs["ca1"], status=status)
    ((body, _),) = world.queue.take(RUNS)
    done = track_build(world.context, TrackBuild.decode(body))
    assert done is not None
    return done


def test_a_failed_rebuild_tells_the_missing_role(world: World) -> None:
    """A role that was taken away after the first build is found when the rebuild fails."""
    done = failed(world, replace(task(), principals=("me",), signs_in_to=frozenset({HOST})))

    assert done.advice is not None
    for part in ("me", "AcrPull", HOST, "az role assignment create"):
        assert part in done.advice
    assert world.ledger.head(task().id) == done


def test_a_failed_rebuild_tells_missing_credentials(world: World) -> None:
    """A task of another registry needs credentials for the base registry."""
    done = failed(world, replace(task(), principals=("me",)))

    assert done.advice is not None
    assert "az acr task credential add" in done.advice


def test_no_advice_where_nothing_is_missing(world: World) -> None:
    """A run that failed for other reasons, or did not fail, gets none."""
    world.access.pullers = {"me"}
    given = replace(task(), principals=("me",), signs_in_to=frozenset({HOST}))

    assert failed(world, given).advice is None


def test_a_success_needs_no_advice(world: World) -> None:
    """Nobody is asked about roles when all went well."""
    world.access.failure = Denied("must not be asked")
    given = replace(task(), principals=("me",), signs_in_to=frozenset({HOST}))

    assert failed(world, given, RunStatus.SUCCEEDED).advice is None
