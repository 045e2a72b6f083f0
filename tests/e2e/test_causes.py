"""Runs that fail: what cannot heal fails once and says what mends it; a limit is waited for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.failures.pulls import RateLimited
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.usecases.recovery.replay import retry
from rebuilder.usecases.reports.list_runs import list_runs
from tests import images
from tests.e2e.conftest import World
from tests.patience import until

pytestmark = pytest.mark.usefixtures("recorded")

BASE = "mybase.azurecr.io/images/node:9"
URL = "https://github.com/contoso/app.git"


def expire_token(world: World, task: TaskId, folder: Path) -> Callable[[], None]:
    """Let the host of the source refuse the task's token; return what gives it a new one."""
    step = world.apps.tasks[task.name].properties["step"]
    step["contextAccessToken"] = "ghp_expired"
    world.cloud.map_context(URL, folder / "context", "ghp_new")
    return lambda: step.update(contextAccessToken="ghp_new")


def lose_source(world: World, task: TaskId, _: Path) -> Callable[[], None]:
    """Let the task's repository be gone; return what names the right one."""
    step = world.apps.tasks[task.name].properties["step"]
    step["contextPath"] = "https://github.com/contoso/gone.git"
    return lambda: step.update(contextPath=URL)


def lock_output(world: World, task: TaskId, _: Path) -> Callable[[], None]:
    """Lock the repository that the task pushes to; return what unlocks it."""
    images.push(world.cloud, world.apps, task.name, "first", "text")
    store = world.cloud.registry.store
    attributes = store.repository(world.apps, task.name).attributes
    attributes[""] = {"writeEnabled": False}
    return attributes.clear


@pytest.mark.parametrize(
    ("breaks", "code", "mends"),
    [
        (expire_token, "source-unfetched", "--git-access-token TOKEN"),
        (lose_source, "source-unfetched", "look at address and branch"),
        (lock_output, "push-locked", "--write-enabled true"),
    ],
)
def test_what_cannot_heal_fails_once(
    world: World,
    tmp_path: Path,
    breaks: Callable[[World, TaskId, Path], Callable[[], None]],
    code: str,
    mends: str,
) -> None:
    """It is not tried again; `explain` and `runs` say what mends it; then `retry` rebuilds it."""
    task = world.task(world.apps, "build-app", world.push("one"))
    mend = breaks(world, task, tmp_path)
    world.subscribe()
    world.push("two")
    world.settle()
    world.push("two")  # told again: the circuit is open
    world.settle()

    (rebuild,) = world.context.ledger.rebuilds(task)
    assert rebuild.cause is not None
    assert (rebuild.state, rebuild.attempt, rebuild.cause.code) == (State.GIVEN_UP, 1, code)
    assert len(world.apps.runs) == 1
    moved, given_up = world.explain(BASE).decisions
    assert moved.rebuild == rebuild
    assert mends in str(rebuild.advice)
    for part in ("after 1 attempt", rebuild.cause.sentence(), mends):
        assert part in given_up.record.decision.sentence()
    (listed,) = list_runs(world.context, task.registry, 15)
    assert listed.rebuild == rebuild
    assert "failed after" in rebuild.log.splitlines()[-1]

    mend()
    retry(world.context, task)
    world.settle()
    newest = world.context.ledger.head(task)
    assert newest is not None
    assert (newest.state, newest.sequence, newest.cause) == (State.SUCCEEDED, 2, None)
    assert len(world.apps.runs) == 2


def test_a_rate_limit_is_waited_for(world: World, tmp_path: Path) -> None:
    """The next run begins when the registry said, and not before; it is the last one needed."""
    task = world.task(world.apps, "build-app", world.push("one"))
    dockerfile = tmp_path / "context" / "Dockerfile"
    dockerfile.write_text(f"FROM node:9-alpine AS tools\nFROM {BASE}\nLABEL a=b\n")
    hub = world.cloud.registry.hub_behaviour
    hub.rate_limit = "You have reached your pull rate limit, retry-after: 6s"
    world.subscribe()
    world.push("two")

    def failed() -> Rebuild | None:
        head = world.context.ledger.head(task)
        return head if head is not None and head.state is State.FAILED else None

    until(failed)
    first = failed()
    assert first is not None
    assert isinstance(first.cause, RateLimited)
    assert (first.cause.host, first.cause.seconds) == ("docker.io", 6)
    hub.rate_limit = ""
    world.settle()

    second, again = world.context.ledger.rebuilds(task)
    assert (second.state, second.attempt) == (State.SUCCEEDED, 2)
    assert again.cause == first.cause
    runs = [run.properties for run in world.apps.runs.values()]
    assert [run["status"] for run in runs] == ["Failed", "Succeeded"]
    ended, began = runs[0]["finishTime"], runs[1]["createTime"]
    waited = datetime.fromisoformat(began) - datetime.fromisoformat(ended)
    assert waited.total_seconds() >= 5.9  # of what the cloud's clock, and ours, may be apart
