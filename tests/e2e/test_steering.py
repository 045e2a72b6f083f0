"""Operators decide while the whole system runs, on both stores: freezes, pauses, observing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from rebuilder.composition import release
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.decisions.operators import WouldRebuild
from rebuilder.core.policies.acts import Scope, Target, What
from rebuilder.core.rebuilds.rebuild import Hold, Rebuild, State
from rebuilder.usecases.reports.audit import audit
from rebuilder.usecases.reports.holds import holds
from rebuilder.usecases.steering.acts import ask, paused
from rebuilder.usecases.steering.policy_file import apply_policy
from tests.e2e.conftest import World
from tests.patience import until

BASE = "mybase.azurecr.io/images/node:9"


def apply(world: World, text: str) -> None:
    """Put a policy file in force, for every instance at once."""
    apply_policy(world.context, text, file="policy.yaml", who="ann", because="test")


def frozen() -> str:
    """Return a policy file with a freeze from yesterday to tomorrow."""
    now, day = datetime.now(UTC), timedelta(days=1)
    return (
        "version: 1\n"
        f"freezes: [{{name: sales, from: {now - day:%F}, to: {now + day:%F}, timezone: UTC}}]\n"
    )


def held(world: World, task: TaskId) -> Rebuild:
    """Wait until the newest rebuild of a task is held, and return it."""

    def look() -> bool:
        found = world.context.ledger.head(task)
        return found is not None and (found.state, found.hold) == (State.HELD, Hold.GATE)

    until(look, "a rebuild that is held")
    found = world.context.ledger.head(task)
    assert found is not None
    return found


def rebuilt_once_on(world: World, task: TaskId, digest: str, runs: int) -> None:
    """Wait until a task is rebuilt; see that it was once, on a digest."""

    def look() -> bool:
        found = world.context.ledger.head(task)
        return found is not None and found.state is State.SUCCEEDED

    until(look, "a rebuild that succeeds")
    newest = world.context.ledger.head(task)
    assert newest is not None
    assert newest.bases == (f"{BASE}@{digest}",)
    assert len(world.apps.runs) == runs
    assert not world.failed()


def test_a_freeze_that_begins_in_the_middle(world: World) -> None:
    """What is pushed in it waits; when it is lifted, the newest is built, once."""
    old = world.push("one")
    task = world.task(world.apps, "build-app", old)
    world.subscribe()
    first = world.push("two")
    world.settle()
    rebuilt_once_on(world, task, first, 1)
    apply(world, frozen())
    world.push("three")
    held(world, task)
    newest = world.push("four")
    until(lambda: f"{BASE}@{newest}" in held(world, task).bases, "the newest to be held")

    assert len(world.apps.runs) == 1
    (title,) = holds(world.context)
    assert title == "frozen"
    assert "frozen: sales" in str(held(world, task).outcome)
    now = world.context.now()
    assert audit(world.context, now - timedelta(hours=1), now).clean
    apply(world, "version: 1\n")
    rebuilt_once_on(world, task, newest, 2)


def test_pause_and_resume(world: World) -> None:
    """One task waits, the other one is built; and it is built when it is let go."""
    old = world.push("one")
    task = world.task(world.apps, "build-app", old)
    other = world.task(world.others, "build-other", old)
    world.subscribe()
    target = Target(Scope.TASK, "myapps/*")
    ask(world.context, What.PAUSE, target, who="ann", because="bad base")
    until(lambda: bool(paused(world.context)), "the pause")
    world.push("two")
    newest = world.push("three")
    until(lambda: f"{BASE}@{newest}" in held(world, task).bases, "the newest to be held")
    until(lambda: len(world.others.runs) > 0, "the other task's run")

    assert world.apps.runs == {}
    assert "--task myapps/* is paused by ann" in str(held(world, task).outcome)
    ask(world.context, What.RESUME, target, who="ann", because="mended")
    rebuilt_once_on(world, task, newest, 1)
    assert world.context.ledger.head(other) is not None


def test_approve(world: World) -> None:
    """It waits for two people, on the digests that they saw; the newest is built, once."""
    old = world.push("one")
    task = world.task(world.apps, "build-app", old)
    world.subscribe()
    apply(world, "version: 1\npolicies: {default: {approval: {votes: 2}}}\n")
    world.push("two")
    of = (held(world, task).id,)
    ask(world.context, What.APPROVE, Target(), who="ann", because="tested", of=of)
    newest = world.push("three")
    until(lambda: f"{BASE}@{newest}" in held(world, task).bases, "the newest to be held")
    of = (held(world, task).id,)
    for who in ("ann", "bob"):
        assert world.apps.runs == {}
        ask(world.context, What.APPROVE, Target(), who=who, because="tested", of=of)
    rebuilt_once_on(world, task, newest, 1)


def test_build_though_nothing_moved(world: World) -> None:
    """Once, however often it is delivered; and a forced one in a freeze, with who and why."""
    new = world.push("one")
    task = world.task(world.apps, "build-app", new)
    world.subscribe()
    name = f"{task}#0"
    for _ in range(2):
        ask(world.context, What.BUILD, Target(), who="ann", because="new key", of=(name,))
    rebuilt_once_on(world, task, new, 1)
    apply(world, frozen())
    name = f"{task}#1"
    ask(world.context, What.RETRY, Target(), who="bob", because="down", of=(name,), force=True)
    until(lambda: len(world.apps.runs) == 2, "the forced run")
    rebuilt_once_on(world, task, new, 2)
    head = world.context.ledger.head(task)
    assert head is not None
    assert head.held is not None
    assert head.held.forced is not None
    assert head.held.forced.who == "bob"


def test_a_limit(world: World) -> None:
    """One after the other, the most urgent first after the one that was quicker; each once."""
    old = world.push("one")
    names = ("build-app", "build-low", "build-high")
    tasks = [world.task(world.apps, name, old) for name in names]
    world.subscribe()
    apply(
        world,
        "version: 1\n"
        "policies: {default: {maxConcurrent: 1}, low: {priority: 0}, high: {priority: 100}}\n"
        "rules:\n"
        "  - {match: {task: '*/*low'}, policy: low}\n"
        "  - {match: {task: '*/*high'}, policy: high}\n",
    )
    new = world.push("two")

    def rebuilt() -> bool:
        heads = [world.context.ledger.head(task) for task in tasks]
        return all(head is not None and head.state is State.SUCCEEDED for head in heads)

    until(rebuilt, "three rebuilds that succeed")
    heads = [world.context.ledger.head(task) for task in tasks]
    assert [head.bases for head in heads if head] == [(f"{BASE}@{new}",)] * 3
    told = [run.properties for run in world.apps.runs.values()]
    spans = sorted((run["createTime"], run["finishTime"]) for run in told)
    assert len(spans) == 3
    assert all(ended <= began for (_, ended), (began, _) in pairwise(spans))
    assert not world.failed()


@pytest.fixture(name="observing")
def _observing(cloud: LocalCloud, storage: str, tmp_path: Path) -> Iterator[World]:
    world = World(cloud, storage, tmp_path, {"REBUILDER_MODE": "observe"})
    world.host.start()
    yield world
    world.host.stop()
    release()


def test_who_observes_starts_nothing(observing: World) -> None:
    """Everything is decided, and told; no run is started."""
    old = observing.push("one")
    task = observing.task(observing.apps, "build-app", old)
    observing.subscribe()
    new = observing.push("two")
    observing.settle()

    decided = [e.record.decision for e in observing.explain(BASE).decisions]
    assert WouldRebuild(task, BASE, new, (f"{BASE}@{new}",)) in decided
    assert observing.apps.runs == {}
    assert not observing.failed()
