"""Waves through the whole system, on both stores: each task once, after what it stands on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from rebuilder.composition import release
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.policies.acts import Scope, Target, What
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.usecases.steering.acts import ask
from rebuilder.usecases.steering.policy_file import apply_policy
from tests import images
from tests.e2e.conftest import World
from tests.patience import until

HOST = "myapps.azurecr.io"
_FILES = {"hello": b"hello"}
NODE = "mybase.azurecr.io/images/node:9"


@pytest.fixture(name="layered")
def _layered(cloud: LocalCloud, storage: str, tmp_path: Path) -> Iterator[World]:
    """A world whose application registry is a base registry, too."""
    bases = {
        "REBUILDER_BASE_REGISTRIES": ", ".join(
            f"/subscriptions/{images.SUBSCRIPTIONS[0]}/resourceGroups/rg-{name}/providers"
            f"/Microsoft.ContainerRegistry/registries/{name}"
            for name in ("mybase", "myapps")
        )
    }
    world = World(cloud, storage, tmp_path, bases)
    cloud.authorize_rebuilder([world.apps], [])
    world.host.start()
    yield world
    world.host.stop()
    release()


def push(world: World, text: str) -> str:
    """Push the base image; return its digest."""
    return images.push(world.cloud, world.base, "images/node", "9", text, _FILES)


def layer(world: World, folder: Path, name: str, reads: dict[str, str]) -> TaskId:
    """Create a task that reads images, each with the digest it was last built on."""
    context = folder / f"context-{name}"
    context.mkdir()
    first, *rest = reads
    lines = [f"FROM {image} AS s{number}" for number, image in enumerate(rest)]
    copies = [f"COPY --from=s{number} /hello /hello-{number}" for number, _ in enumerate(rest)]
    text = "\n".join([*lines, f"FROM {first}", *copies, f"LABEL name={name}"])
    (context / "Dockerfile").write_text(f"{text}\n")
    url = f"https://github.com/contoso/{name}.git"
    world.cloud.map_context(url, context)
    credentials = {"customRegistries": {"mybase.azurecr.io": {"identity": "[system]"}}}
    recorded = [images.dependency(image, digest) for image, digest in reads.items()]
    made = images.task(world.apps, name, recorded, credentials=credentials)
    made.properties["step"] |= {"contextPath": url, "imageNames": [f"{name}:1"]}
    images.identify(world.cloud, world.apps, made, ("AcrPull", world.base))
    return TaskId(RegistryId.parse(world.apps.id), name)


def diamond(world: World, folder: Path) -> list[TaskId]:
    """Create four tasks, of which the last reads what two others push, and the base as well."""
    old = push(world, "one")
    pushed = {
        name: images.push(world.cloud, world.apps, name, "1", name, _FILES)
        for name in ("top", "left", "right", "last")
    }

    def on(*names: str) -> dict[str, str]:
        return {f"{HOST}/{name}:1": pushed[name] for name in names}

    tasks = [
        layer(world, folder, "top", {NODE: old}),
        layer(world, folder, "left", on("top")),
        layer(world, folder, "right", {**on("top"), NODE: old}),
        layer(world, folder, "last", on("left", "right")),
    ]
    world.subscribe()
    world.subscribe(world.apps)
    return tasks


def head(world: World, task: TaskId) -> Rebuild | None:
    """Return the newest rebuild of a task."""
    return world.context.ledger.head(task)


def succeeded(world: World, task: TaskId) -> Rebuild:
    """Wait until a task is rebuilt, and return the rebuild."""

    def look() -> bool:
        found = head(world, task)
        return found is not None and found.state is State.SUCCEEDED

    until(look, f"{task.name} to be rebuilt")
    found = head(world, task)
    assert found is not None
    return found


def test_a_diamond_of_four_tasks_is_four_runs(layered: World, tmp_path: Path) -> None:
    """Each once, after what it stands on, on what that pushed."""
    tasks = diamond(layered, tmp_path)
    new = push(layered, "two")
    last = succeeded(layered, tasks[-1])
    top, left, right = (succeeded(layered, task) for task in tasks[:-1])

    assert len(layered.apps.runs) == len(tasks)
    assert sorted(last.bases) == sorted((*left.output_images, *right.output_images))
    assert set(right.bases) == {f"{NODE}@{new}", *top.output_images}
    assert {top.began_with, left.began_with, right.began_with, last.began_with} == {top.push}
    assert not layered.failed()


def test_a_failing_canary_leaves_the_others_untouched(layered: World, tmp_path: Path) -> None:
    """The digest is quarantined and nothing is built on it; a release goes on."""
    old = push(layered, "one")
    canary = layer(layered, tmp_path, "canary", {NODE: old})
    others = [layer(layered, tmp_path, name, {NODE: old}) for name in ("web", "api")]
    (tmp_path / "context-canary" / "Dockerfile").write_text(f"FROM {NODE}\nCOPY none /none\n")
    layered.subscribe()
    text = "version: 1\npolicies: {default: {canary: {tasks: '*/canary'}}}\n"
    apply_policy(layered.context, text, file="p.yaml", who="ann", because="test")
    new = push(layered, "two")

    def quarantined() -> bool:
        known = layered.context.in_force
        known.forget()
        found = known.now(layered.context.steering, layered.context.now()).quarantined
        return [q.image for q in found] == [f"{NODE}@{new}"]

    until(quarantined, "the digest to be quarantined")

    def all_held() -> bool:
        heads = [head(layered, task) for task in others]
        reasons = [h.held.reasons for h in heads if h is not None and h.held is not None]
        return [[r.code for r in of] for of in reasons] == [["quarantined"]] * len(others)

    until(all_held, "the others to be held")
    failed = head(layered, canary)
    assert failed is not None
    assert failed.state is State.GIVEN_UP
    runs = len(layered.apps.runs)
    assert runs == failed.attempt
    target = Target(Scope.DIGEST, f"{NODE}@{new}")
    ask(layered.context, What.RELEASE, target, who="ann", because="it was the canary's fault")
    for task in others:
        assert succeeded(layered, task).bases == (f"{NODE}@{new}",)
    assert len(layered.apps.runs) == runs + len(others)
    assert not layered.failed()
