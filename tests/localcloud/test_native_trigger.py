"""ACR's own base image trigger, which rebuilds without the product."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient

from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry, Run
from tests import images
from tests.clocks import StoppedClock
from tests.patience import SECONDS, until

BASE = "bases.azurecr.io/base:1"


def trigger(kind: str = "Runtime", status: str = "Enabled") -> Json:
    """Return a task's trigger in ARM's wire form."""
    return {"baseImageTrigger": {"name": "d", "baseImageTriggerType": kind, "status": status}}


@pytest.fixture(name="bases")
def _bases(still: LocalCloud, tmp_path: Path) -> Registry:
    """A registry of base images in another subscription, and a context to build on them."""
    still.native_trigger.behaviour.enabled = True
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text(f"FROM {BASE}\n")
    still.map_context("https://github.com/contoso/app.git", tmp_path / "app")
    return images.registry(still, "bases", 1)


def pushed(cloud: LocalCloud, registry: Registry, text: str, tag: str = "1") -> str:
    """Push a base image and wait until nothing goes on."""
    digest = images.push(cloud, registry, "base", tag, text)
    assert cloud.wait_idle(SECONDS)
    return digest


def credentials() -> Json:
    """Let a task pull from the base registry."""
    return {"customRegistries": {"bases.azurecr.io": {"identity": "[system]"}}}


def test_a_new_base_image_is_built_on(
    still: LocalCloud, apps: Registry, bases: Registry, tasks: ContainerRegistryTasksMgmtClient
) -> None:
    """A task in another registry and subscription is run once, by its image update trigger."""
    recorded = [images.dependency(BASE, "sha256:old")] * 2  # one entry per output tag
    task = images.task(apps, "builder", recorded, trigger=trigger(), credentials=credentials())
    images.identify(still, apps, task, ("AcrPull", bases))
    digest = pushed(still, bases, "new")
    (run,) = list(tasks.runs.list(apps.resource_group, apps.name))
    told: Any = run.as_dict()["properties"]

    assert (told["runType"], told["task"], told["status"]) == ("AutoBuild", "builder", "Succeeded")
    assert run.name == told["runId"] == "ca1"
    update = told["imageUpdateTrigger"]
    assert update["id"]
    assert update["timestamp"] == told["createTime"]
    image = {"registry": "bases.azurecr.io", "repository": "base", "tag": "1", "digest": digest}
    assert update["images"] == [image]
    assert apps.runs["ca1"].request == {}
    assert task.properties["step"]["baseImageDependencies"][0]["digest"] == digest


def test_the_same_digest_again_starts_nothing(
    still: LocalCloud, apps: Registry, bases: Registry
) -> None:
    """Neither when it is recorded, nor when the run it has started is not over well."""
    images.task(apps, "builder", [images.dependency(BASE, "sha256:old")], trigger=trigger())
    still.native_trigger.behaviour.enabled = False
    pushed(still, bases, "first")
    still.native_trigger.behaviour.enabled = True
    pushed(still, bases, "first")
    assert apps.runs == {}
    second = pushed(still, bases, "second")
    pushed(still, bases, "second")
    assert [run.properties["status"] for run in apps.runs.values()] == ["Failed"]
    recorded = [images.dependency(BASE, second)]
    images.task(apps, "builder", recorded, trigger=trigger())
    pushed(still, bases, "third", tag="2")
    assert len(apps.runs) == 1


def test_it_is_off_unless_switched_on(still: LocalCloud, apps: Registry, bases: Registry) -> None:
    """The product's tests are not to see it."""
    still.native_trigger.behaviour.enabled = False
    images.task(apps, "builder", [images.dependency(BASE)], trigger=trigger())
    pushed(still, bases, "new")
    assert apps.runs == {}


@pytest.mark.parametrize(
    ("name", "dependencies", "properties", "runs"),
    [
        ("disabled", [BASE], {"status": "Disabled"}, 0),
        ("no-trigger", [BASE], {"trigger": None}, 0),
        ("no-base-trigger", [BASE], {"trigger": {"baseImageTrigger": None}}, 0),
        ("trigger-off", [BASE], {"trigger": trigger(status="Disabled")}, 0),
        ("no-record", None, {}, 0),
        ("no-step", [BASE], {"step": None}, 0),
        ("other-tag", ["bases.azurecr.io/base:2"], {}, 0),
        ("other-image", ["bases.azurecr.io/other:1"], {}, 0),
        ("other-registry", ["myapps.azurecr.io/base:1"], {}, 0),
        ("elsewhere", ["registry.hub.docker.com/base:1"], {}, 0),
        ("any-case", ["Bases.AzureCR.io/base:1"], {}, 1),
    ],
)
def test_only_what_the_trigger_sees_is_run(
    still: LocalCloud,
    apps: Registry,
    bases: Registry,
    name: str,
    dependencies: list[str] | None,
    properties: dict[str, Any],
    runs: int,
) -> None:
    """Disabled tasks and triggers, other images and missing records start nothing."""
    recorded = [images.dependency(image, "sha256:old") for image in dependencies or []]
    more = {"trigger": trigger(), **properties}
    images.task(apps, name, None if dependencies is None else recorded, **more)
    pushed(still, bases, "new")
    assert len(apps.runs) == runs


@pytest.mark.parametrize(("kind", "runs"), [("Runtime", 0), ("All", 1)])
def test_buildtime_images_count_for_triggers_of_all(
    still: LocalCloud, apps: Registry, bases: Registry, kind: str, runs: int
) -> None:
    """A stage that is not in the image starts a run only if the trigger's type is All."""
    recorded = [images.dependency(BASE, "sha256:old", "BuildTime")]
    images.task(apps, "builder", recorded, trigger=trigger(kind))
    pushed(still, bases, "new")
    assert len(apps.runs) == runs


def test_runs_of_multi_step_tasks_have_another_type(
    still: LocalCloud, apps: Registry, bases: Registry
) -> None:
    """AutoRun instead of AutoBuild."""
    task = images.task(apps, "steps", [images.dependency(BASE)], trigger=trigger())
    task.properties["step"] |= {"type": "FileTask", "taskFilePath": "acb.yaml"}
    pushed(still, bases, "new")
    assert [run.properties["runType"] for run in apps.runs.values()] == ["AutoRun"]


def test_pushes_by_digest_start_nothing(still: LocalCloud, apps: Registry, bases: Registry) -> None:
    """Only a tag that moves does; its event comes in any case."""
    images.task(apps, "builder", [images.dependency(BASE)], trigger=trigger())
    pushed(still, bases, "new", tag="")
    assert apps.runs == {}


def test_a_run_may_come_late(
    still: LocalCloud, clock: StoppedClock, apps: Registry, bases: Registry
) -> None:
    """It comes when its time has passed, even if the task was built on the image since."""
    task = images.task(apps, "builder", [images.dependency(BASE)], trigger=trigger())
    images.task(apps, "other", [], trigger=trigger())
    still.native_trigger.behaviour.seconds = 600
    digest = images.push(still, bases, "base", "1", "new")
    until(lambda: clock.waiting)
    assert not still.wait_idle(0.1)
    assert apps.runs == {}
    apps.runs["ca1"] = Run("ca1", {"runId": "ca1", "status": "Succeeded"})
    task.properties["step"]["baseImageDependencies"] = [images.dependency(BASE, digest)]
    clock.forward(600)
    assert still.wait_idle(SECONDS)
    assert list(apps.runs) == ["ca1", "ca2"]
    assert apps.runs["ca2"].properties["task"] == "builder"
