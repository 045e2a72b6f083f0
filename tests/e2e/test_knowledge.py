"""Images that ACR's own record does not name start runs too, and explain says how it knows."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

import pytest

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.rebuilds.rebuild import State
from tests import images
from tests.e2e.conftest import World

NODE = "mybase.azurecr.io/images/node:9"
SYSTEM = "mybase.azurecr.io/images/os:1"
CREDENTIALS = {"customRegistries": {"mybase.azurecr.io": {"identity": "[system]"}}}
YAML = """\
version: v1.1.0
steps:
  - build: -t $Registry/yaml:1 -f Dockerfile .
    env: [DOCKER_BUILDKIT=1]
  - push: [$Registry/yaml:1]
"""
COPYING = f"FROM {SYSTEM}\nCOPY --from={NODE} /file /\n"

# Dockerfile; what ACR has recorded of it; where the product knows the image from.
TASKS: dict[str, tuple[str, str | None, str]] = {
    "copy-from": (COPYING, SYSTEM, f"build file Dockerfile, line 2: COPY --from={NODE}"),
    "run-mount": (
        f"FROM {SYSTEM}\nRUN --mount=type=bind,from={NODE},target=/x true\n",
        SYSTEM,
        f"build file acb.yaml, line 3: Dockerfile, line 2: RUN --mount=from={NODE}",
    ),
    "arg-default": (
        "ARG TAG=8\nARG TAG=9\nFROM mybase.azurecr.io/images/node:${TAG}\n",
        "mybase.azurecr.io/images/node:8",
        (
            "build file acb.yaml, line 3: Dockerfile, line 3: FROM"
            " mybase.azurecr.io/images/node:${TAG} (TAG=9 from ARG on line 2)"
        ),
    ),
    "inline-yaml": (
        COPYING,
        SYSTEM,
        (f"build file the task's own YAML, line 3: Dockerfile, line 2: COPY --from={NODE}"),
    ),
    "yaml-file": (
        COPYING,
        SYSTEM,
        f"build file acb.yaml, line 3: Dockerfile, line 2: COPY --from={NODE}",
    ),
    "never-ran": (f"FROM {NODE}\n", None, f"build file Dockerfile, line 1: FROM {NODE}"),
}
STEPS: dict[str, dict[str, str]] = {
    # RUN --mount needs BuildKit, for which only a step of a task file can ask. Where the scanner
    # names an image that is not built on, the classic builder's run fails: docker has no digest.
    "run-mount": {"type": "FileTask", "taskFilePath": "acb.yaml"},
    "arg-default": {"type": "FileTask", "taskFilePath": "acb.yaml"},
    "inline-yaml": {
        "type": "EncodedTask",
        "encodedTaskContent": base64.b64encode(YAML.encode()).decode(),
    },
    "yaml-file": {"type": "FileTask", "taskFilePath": "acb.yaml"},
}


def make(world: World, folder: Path, name: str) -> TaskId:
    """Create a task with a context of its own, and with what ACR has recorded of it."""
    text, recorded, _ = TASKS[name]
    context = folder / name
    context.mkdir()
    (context / "Dockerfile").write_text(text)
    (context / "acb.yaml").write_text(YAML)
    address = f"https://github.com/contoso/{name}.git"
    world.cloud.map_context(address, context)
    digest = images.push(world.cloud, world.base, "images/os", "1", "os", {"os": b"os"})
    images.push(world.cloud, world.base, "images/node", "8", "old", {"file": b"old"})
    known = None if recorded is None else [images.dependency(recorded, digest)]
    task = images.task(world.apps, name, known, credentials=CREDENTIALS)
    task.properties["step"] |= {"contextPath": address, **STEPS.get(name, {})}
    images.identify(world.cloud, world.apps, task, ("AcrPull", world.base))
    return TaskId(RegistryId.parse(world.apps.id), name)


def push(world: World, text: str) -> str:
    """Push the image that every task reads in its own way; return its digest."""
    files = {"file": text.encode()}
    return images.push(world.cloud, world.base, "images/node", "9", text, files)


def test_what_only_the_build_file_names_is_rebuilt(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By COPY --from, RUN --mount, an ARG, in YAML, or in a task that never ran: one run each."""
    caplog.set_level(logging.INFO)
    push(world, "one")
    tasks = {name: make(world, tmp_path, name) for name in TASKS}
    world.subscribe()
    new = push(world, "two")
    world.settle()

    for name, task in tasks.items():
        (rebuild,) = world.context.ledger.rebuilds(task)
        assert (name, rebuild.outcome, rebuild.state) == (name, "Succeeded", State.SUCCEEDED)
        assert f"{NODE}@{new}" in rebuild.bases
    explained = {
        e.record.decision.task.name: e.record.decision
        for e in world.explain(NODE).decisions
        if isinstance(e.record.decision, BaseMoved)
    }
    assert {name: decision.source for name, decision in explained.items()} == {
        name: source for name, (_, _, source) in TASKS.items()
    }
    assert "known from build file Dockerfile, line 2: COPY --from=" in (
        explained["copy-from"].sentence()
    )
    assert not world.failed()
    logged = [*caplog.get_records("setup"), *caplog.records]
    warned = [r.getMessage() for r in logged if r.levelno >= logging.WARNING]
    # A store begins empty, which is told.
    assert [text for text in warned if "nothing is kept in it yet" not in text] == []


def test_the_same_image_again_starts_nothing(world: World, tmp_path: Path) -> None:
    """What was built on the digest is not built again, although ACR has recorded none of it."""
    push(world, "one")
    tasks = [make(world, tmp_path, name) for name in TASKS]
    world.subscribe()
    push(world, "two")
    world.settle()
    push(world, "two")
    world.settle()

    assert len(world.apps.runs) == len(tasks)
    push(world, "three")
    world.settle()
    assert len(world.apps.runs) == 2 * len(tasks)
    assert not world.failed()


def test_a_pinned_tag_is_not_built_in_vain(world: World, tmp_path: Path) -> None:
    """ACR's record takes `image:tag@digest` for a moving tag; the build file knows better."""
    old = push(world, "one")
    task = make(world, tmp_path, "never-ran")
    (tmp_path / "never-ran" / "Dockerfile").write_text(f"FROM {NODE}@{old}\n")
    step = world.apps.tasks[task.name].properties["step"]
    step["baseImageDependencies"] = [images.dependency(NODE, old)]
    world.subscribe()
    push(world, "two")
    world.settle()

    assert world.apps.runs == {}
    (explained,) = world.explain(NODE).decisions
    assert explained.record.decision.code == "pinned-by-digest"
    assert not world.failed()


def test_a_build_file_that_cannot_be_read_leaves_the_record(world: World, tmp_path: Path) -> None:
    """A task on a context that the product has no token for is rebuilt by ACR's record alone."""
    old = push(world, "one")
    task = make(world, tmp_path, "never-ran")
    step = world.apps.tasks[task.name].properties["step"]
    step["baseImageDependencies"] = [images.dependency(NODE, old)]
    world.cloud.map_context("https://github.com/contoso/never-ran.git", tmp_path / "never-ran", "x")
    world.subscribe()
    push(world, "two")
    world.settle()

    assert len(world.apps.runs) == 1  # ACR cannot read it either, and nobody mends that
    (explained,) = world.explain(NODE).decisions
    assert isinstance(explained.record.decision, BaseMoved)
    assert explained.record.decision.source == "ACR's record"
