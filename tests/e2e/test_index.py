"""The index of dependencies, end to end: filled by the first push, kept by events and the timer."""

from __future__ import annotations

from typing import Any

import pytest
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient

from localcloud.eventgrid import Schema, SystemTopic
from localcloud.tokens import Credential
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join, recorded
from rebuilder.core.rebuilds.rebuild import State
from tests import images, patience
from tests.e2e.conftest import World
from tests.patience import SECONDS

pytestmark = pytest.mark.usefixtures("recorded")

BASE = "mybase.azurecr.io/images/node:9"
REPOSITORY = BASE.rpartition(":")[0]


def listen(world: World, schema: Schema) -> None:
    """Let changes of the tasks' subscriptions reach task_changed."""
    for registry in (world.apps, world.others):
        topic = SystemTopic(f"/subscriptions/{registry.subscription_id}")
        url = world.host.eventgrid_url("task_changed")
        world.cloud.eventgrid.subscribe(topic, "tasks", url, schema=schema)


def dependents(world: World) -> list[str]:
    """Return who is built on the base image, as the index says."""
    return [i.view.task.name for i in world.context.index.dependents(REPOSITORY)]


@pytest.mark.parametrize("schema", ["EventGridSchema", "CloudEventSchemaV1_0"])
def test_a_changed_task_is_known_at_once(world: World, schema: Schema) -> None:
    """Events of resources bring a task into the index and out of it, without a sweep."""
    world.subscribe()
    listen(world, schema)
    old = world.push("one")
    world.settle()  # the index is filled now, with nothing
    world.task(world.apps, "build-app", old)
    assert dependents(world) == []
    group, name = world.apps.resource_group, world.apps.name
    credential = Credential(world.cloud.tokens, world.cloud.developer)
    with ContainerRegistryTasksMgmtClient(credential, world.apps.subscription_id) as client:
        changes: Any = {"tags": {"team": "a"}}
        client.tasks.update(group, name, "build-app", changes)
        world.settle()
        assert dependents(world) == ["build-app"]
        world.push("two")
        world.settle()
        assert len(world.apps.runs) == 1
        client.tasks.delete(group, name, "build-app")
        world.settle()

    assert dependents(world) == []
    assert not world.failed()


def test_a_new_task_is_known_once_it_ran(world: World) -> None:
    """A task that is created and run by hand is rebuilt by the next push: no sweep in between."""
    world.subscribe()
    listen(world, "EventGridSchema")
    world.push("one")
    world.settle()
    made = world.task(world.apps, "build-app", "")
    step = world.apps.tasks["build-app"].properties["step"]
    step["baseImageDependencies"] = None
    changes: Any = {"tags": {"team": "a"}}
    credential = Credential(world.cloud.tokens, world.cloud.developer)
    with ContainerRegistryTasksMgmtClient(credential, world.apps.subscription_id) as client:
        client.tasks.update(world.apps.resource_group, world.apps.name, "build-app", changes)
    assert world.cloud.wait_idle(SECONDS)
    world.context.tasks.schedule(made, "bm90LW91cnM=")
    world.settle()
    assert dependents(world) == ["build-app"]
    world.push("two")
    world.settle()

    assert len(world.apps.runs) == 2
    assert not world.failed()


def test_the_timer_finds_what_no_event_told(world: World) -> None:
    """A sweep brings in tasks whose events were lost; the next push rebuilds them."""
    world.subscribe()
    old = world.push("one")
    world.settle()
    world.task(world.others, "build-other", old)
    answer = patience.post(
        f"{world.host.url}/admin/functions/refresh_index",
        headers={"x-functions-key": world.host.master_key},
        json={"input": ""},
    )
    assert answer.status_code == 202
    assert world.host.wait_idle(SECONDS)
    world.settle()
    assert dependents(world) == ["build-other"]
    world.push("two")
    world.settle()

    assert len(world.others.runs) == 1
    assert not world.failed()
    assert not any(age.old for age in world.explain(BASE).indexes)


def test_several_first_pushes_at_once_lose_nobody(world: World) -> None:
    """The first deployment's first pushes fill the index together, without waiting for a timer."""
    old = world.push("one")
    made = {}
    for number in range(6):
        image = f"mybase.azurecr.io/images/base{number}:1"
        digest = images.push(world.cloud, world.base, f"images/base{number}", "1", "one")
        task = world.task(world.apps, f"build-app-{number}", old)
        step = world.apps.tasks[task.name].properties["step"]
        step["baseImageDependencies"] = [images.dependency(image, digest)]
        made[number] = task
    world.cloud.arm.behaviour.page_size = 2
    world.subscribe()
    for number in made:
        world.push("two", "1", f"images/base{number}")
    world.settle()

    assert not world.failed()
    for task in made.values():
        (rebuild,) = world.context.ledger.rebuilds(task)
        assert rebuild.state is State.SUCCEEDED


def test_an_image_that_only_the_build_file_names_is_rebuilt(world: World) -> None:
    """What ACR never records starts a run, too, and explain names the source of the knowledge."""
    old = world.push("one")
    task = world.task(world.apps, "build-app", old)
    step = world.apps.tasks[task.name].properties["step"]
    step["baseImageDependencies"] = [images.dependency("docker.io/library/alpine:3")]
    registry = RegistryId.parse(world.apps.id)
    context = world.context
    said = Said(
        ImageReference.parse(BASE), Kind.BUILD_TIME, None, "Dockerfile, line 7: COPY --from"
    )
    known = context.tasks.task(TaskId(registry, "build-app"))
    file = Evidence(Source.BUILD_FILE, (said,))
    for each in context.settings.task_registries:
        context.index.mark_refreshed(each, context.now())
    context.index.replace(join(known.id, [recorded(known), file]), context.now())
    world.subscribe()
    new = world.push("two")
    world.settle()

    (rebuild,) = context.ledger.rebuilds(task)
    assert rebuild.bases == (f"{BASE}@{new}",)
    moved = world.explain(BASE).decisions[0].record.decision
    assert isinstance(moved, BaseMoved)
    assert "build file" in moved.source
    assert "line 7: COPY --from" in moved.sentence()


def test_planning_lists_no_tasks_once_the_index_is_filled(world: World) -> None:
    """A push costs one read of each task that follows it, in the plan and in the build."""
    old = world.push("one")
    world.task(world.apps, "build-app", old)
    for number in range(5):
        image = f"mybase.azurecr.io/images/other:{number}"
        world.unconcerned(world.apps, f"build-other-{number}", image)
    world.subscribe()
    world.push("one")
    world.settle()
    world.cloud.arm.requests.clear()
    world.push("three")
    world.settle()

    asked = [
        path
        for method, path in world.cloud.arm.requests
        if method == "GET" and "/tasks" in path.lower()
    ]
    assert not any(path.lower().rstrip("/").endswith("/tasks") for path in asked)
    assert {path.rpartition("/")[2] for path in asked} == {"build-app"}
