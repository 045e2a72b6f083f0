"""One registry that is gone, denied or out of order is as if it were not there, for the others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import replace
from pathlib import Path

import pytest

from rebuilder import composition
from rebuilder.azure._clients import Clients
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Task
from rebuilder.core.decisions.unreadable import NotConfigured
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    PlanRebuilds,
    StartBuild,
    TrackBuild,
)
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import Denied, NotFound, RebuilderError, TransientError
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.catch_up.poll_bases import poll_bases
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.recovery.replay import retry
from tests.unit.fakes import APPS, BASE, NEW, NODE, World, dependency, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
GONE = RegistryId(BASE.subscription, BASE.resource_group, "gonebase")
LATER = RegistryId(BASE.subscription, BASE.resource_group, "latebase")
OF_GONE, OF_LATER = (f"{registry.name}.azurecr.io/tools:1" for registry in (GONE, LATER))


@pytest.fixture(params=[NotFound("it was deleted"), Denied("no role"), TransientError("garbage")])
def context(world: World, request: pytest.FixtureRequest) -> Context:
    """Three base registries and three task registries, of which one each is out of order."""
    error: RebuilderError = request.param
    apps = RegistryId(APPS.subscription, APPS.resource_group, "goneapps")
    world.tasks.out_of_order = {GONE: error, apps: error, LATER: error}
    settings = replace(
        world.settings,
        base_registries=frozenset({BASE, GONE, LATER}),
        task_registries=(apps, *world.settings.task_registries),
        poll_hosts=("*",),
    )
    world.tasks.failures[f"tasks of {apps.name}"] = [error] * 20
    return replace(world.context, settings=settings)


def test_the_others_pushes_are_planned_and_built(world: World, context: Context) -> None:
    """Nobody even asks for the one that a task has nothing to do with."""
    world.tasks.add(task())
    scan_registry(context, APPS)
    with suppress(TransientError):  # the broken registry is planned when it can be read
        plan_rebuilds(context, PlanRebuilds(PUSH))
    messages = [StartBuild.decode(body) for body, _ in world.queue.take(BUILDS)]
    assert [message.task for message in messages] == [task().id]
    rebuild = start_build(context, messages[0], "me")

    assert isinstance(rebuild, Rebuild)
    assert rebuild.state is State.SCHEDULED
    assert set(world.tasks.asked) <= {BASE, APPS}


def test_sweep_and_poll_go_on(world: World, context: Context) -> None:
    """What the broken registry may be about is told; the others are looked at."""
    world.tasks.add(task("one"), task("two", dependency(OF_GONE)))
    scan_registry(context, APPS)
    report, polled = sweep(context, "me"), poll_bases(context, "me")

    assert report.missed == [PUSH.key]
    assert any("gonebase" in problem for problem in report.problems)
    transient = isinstance(world.tasks.out_of_order[GONE], TransientError)
    assert [GONE.name in problem for problem in polled.problems] == [True] * transient


def other(world: World, reference: str) -> Task:
    """Have a task that is built on an image of a broken registry, too."""
    made = task("build-app", dependency(), dependency(reference))
    world.tasks.add(made)
    return made


def test_a_task_of_it_waits_only_where_it_may_answer_again(world: World, context: Context) -> None:
    """What is deleted or denied is left out; what does not answer now is asked again."""
    message = StartBuild(PUSH, other(world, OF_GONE).id)
    if isinstance(world.tasks.out_of_order[GONE], TransientError):
        with pytest.raises(TransientError):
            start_build(context, message, "me")
        assert world.tasks.scheduled == []
    else:
        found = start_build(context, message, "me")
        assert isinstance(found, Rebuild)
        assert found.bases == (f"{NODE}@{NEW}",)


def test_retry_finds_the_newest_push(world: World, context: Context) -> None:
    """Whoever asks for a rebuild is not kept waiting by a registry that it is not about."""
    world.tasks.add(task())
    scan_registry(context, APPS)
    context.ledger.record_events([PUSH], world.time.now)

    assert retry(context, task().id).key == PUSH.key


def test_the_same_name_in_another_domain_is_not_taken_for_it(world: World) -> None:
    """A login server begins with the registry's name, whole."""
    assert BASE.may_be("mybase.azurecr.io")
    assert BASE.may_be("mybase-a1b2c3d4e5.azurecr.io")
    assert not BASE.may_be("mybase2.azurecr.io")
    assert not BASE.may_be("docker.io")
    assert world.context.base_registry("mybase.example.com") is None


FOREIGN = TaskId(RegistryId(APPS.subscription, APPS.resource_group, "otherapps"), "build-app")


def test_nothing_is_started_in_a_registry_that_is_not_configured(world: World) -> None:
    """A message may be older than the settings, or forged."""
    world.tasks.add(replace(task(), id=FOREIGN))
    found = start_build(world.context, StartBuild(PUSH, FOREIGN), "me")

    assert isinstance(found, NotConfigured)
    assert "REBUILDER_TASK_REGISTRIES does not name" in found.sentence()
    assert "otherapps" in found.sentence()
    assert world.tasks.scheduled == []
    assert world.tasks.read == []
    assert [r.decision.code for r in world.ledger.decisions(PUSH)] == ["not-configured"]


def test_a_rebuild_that_waited_ends_when_its_registry_is_taken_out(world: World) -> None:
    """It is not settled for ever otherwise."""
    world.tasks.add(task())
    start_build(world.context, StartBuild(PUSH, task().id), "me")
    rebuild = world.ledger.head(task().id)
    assert rebuild is not None
    waiting = world.ledger.save(replace(rebuild, state=State.HELD, run_id=None))
    without = replace(world.context, settings=replace(world.settings, task_registries=()))
    start_build(without, StartBuild(PUSH, task().id), "me")
    head = world.ledger.head(task().id)

    assert waiting.unsettled
    assert head is not None
    assert head.state is State.SKIPPED


def test_a_push_of_a_registry_that_is_not_configured_starts_nothing(world: World) -> None:
    """Neither a plan nor a build goes by it."""
    world.tasks.add(task())
    scan_registry(world.context, APPS)
    push = replace(PUSH, registry=GONE)
    world.queue.sent.clear()
    found = start_build(world.context, StartBuild(push, task().id), "me")

    assert isinstance(found, NotConfigured)
    assert found.setting == "REBUILDER_BASE_REGISTRIES"
    assert plan_rebuilds(world.context, PlanRebuilds(push)) == []
    assert world.queue.take(BUILDS) == []
    assert world.queue.take(PUSHES) == []
    assert world.tasks.scheduled == []


def test_a_run_in_a_registry_that_was_taken_out_is_not_asked_for(world: World) -> None:
    """Its record stays, for the registry may be named again."""
    world.tasks.add(task())
    rebuild = start_build(world.context, StartBuild(PUSH, task().id), "me")
    assert isinstance(rebuild, Rebuild)
    without = replace(world.context, settings=replace(world.settings, task_registries=()))
    message = TrackBuild(task().id, rebuild.sequence, rebuild.version)

    assert track_build(without, message) is None
    assert world.ledger.head(task().id) == rebuild


def test_many_threads_make_one_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cold start with many messages: limits on requests hold, and nothing stays open."""
    made: list[Context] = []

    def making(*ports: object, **more: object) -> Context:
        assert not slow.wait(timeout=0.05)
        made.append(Context(*ports, **more))  # type: ignore[arg-type]
        return made[-1]

    slow = threading.Event()
    monkeypatch.setattr(composition, "Context", making)
    env = {
        "REBUILDER_BASE_REGISTRIES": str(BASE),
        "REBUILDER_TASK_REGISTRIES": str(APPS),
        "AzureWebJobsStorage": f"sqlite:{tmp_path / 'store.db'}",
    }
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: composition.compose(env), range(8)))
    composition.release()

    assert len(made) == 1
    assert all(one is made[0] for one in found)


class Closed:
    """Something that is closed."""

    closed = False

    def close(self) -> None:
        """Note it."""
        self.closed = True


def test_many_threads_make_one_client_of_a_place() -> None:
    """Each is closed, and made anew when it is asked for again."""
    made: list[Closed] = []
    slow = threading.Event()

    def make(_: str) -> Closed:
        assert not slow.wait(timeout=0.05)
        made.append(Closed())
        return made[-1]

    clients = Clients(make)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: clients[f"{n % 2}"], range(8)))
    clients.close()

    assert len(made) == len(set(map(id, found))) == 2
    assert all(one.closed for one in made)
    assert clients["0"] is not found[0]
