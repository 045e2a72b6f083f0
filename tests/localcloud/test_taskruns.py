"""Task runs: runs as resources, by the SDK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient

from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry
from tests import images
from tests.patience import SECONDS
from tests.runs import encoded, of_task

URL = "https://github.com/contoso/app.git"
NAME = "{{.Run.Registry}}/{{.Values.name}}"
TASK = f"steps:\n- build: -t {NAME} .\n- push: ['{NAME}']\n"


def body(request: Json, tag: str | None = None) -> Any:  # noqa: ANN401 - the SDK takes JSON, too
    """Return a task run in ARM's wire form."""
    return {"properties": {"runRequest": request, "forceUpdateTag": tag}}


@pytest.fixture(name="apps")
def _apps(still: LocalCloud, tmp_path: Path) -> Registry:
    """A registry, and a context that can be built."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM scratch\nLABEL a=1\n")
    still.map_context(URL, tmp_path / "app")
    return images.registry(still, "myapps")


def building(name: str) -> Json:
    """Return the request of a quick run that builds an image."""
    return encoded(f"steps: [{{build: -t {name} .}}]", URL)


def create(
    tasks: ContainerRegistryTasksMgmtClient,
    registry: Registry,
    name: str,
    given: Any,  # noqa: ANN401
) -> Json:
    """Create a task run and wait for its end; return it."""
    where = (registry.resource_group, registry.name)
    poller = tasks.task_runs.begin_create(*where, name, given, polling_interval=0)
    made: Json = poller.result(SECONDS).as_dict()
    return made


def test_a_task_run_is_a_run(
    still: LocalCloud, apps: Registry, tasks: ContainerRegistryTasksMgmtClient
) -> None:
    """Its creation is over when the run is; it tells the run, and so do get, list and details."""
    made = create(tasks, apps, "first", body(building("a")))
    assert made["id"] == f"{apps.id}/taskRuns/first"
    assert made["type"] == "Microsoft.ContainerRegistry/registries/taskRuns"
    assert made["properties"]["provisioningState"] == "Succeeded"
    result = made["properties"]["runResult"]
    assert (result["name"], result["properties"]["status"]) == ("ca1", "Succeeded")
    assert result["properties"]["runType"] == "QuickRun"
    where = (apps.resource_group, apps.name)
    got = tasks.task_runs.get(*where, "FIRST").as_dict()
    detailed = tasks.task_runs.get_details(*where, "first").as_dict()
    listed = [held.as_dict() for held in tasks.task_runs.list(*where)]
    assert got == detailed == listed[0]
    assert len(listed) == 1
    assert still.wait_idle(SECONDS)


@pytest.mark.parametrize("quick", [False, True])
def test_it_carries_its_request_out(
    still: LocalCloud, apps: Registry, tasks: ContainerRegistryTasksMgmtClient, *, quick: bool
) -> None:
    """A task's, or a quick run's."""
    images.task(apps, "builder", None)
    request = building("a") if quick else of_task(apps, "builder")
    made = create(tasks, apps, "first", body(request))
    told = made["properties"]["runResult"]["properties"]
    assert told.get("task") == (None if quick else "builder")
    assert len(told.get("outputImages", [])) == (0 if quick else 1)
    assert still.wait_idle(SECONDS)


def test_only_another_request_or_tag_is_another_run(
    still: LocalCloud, apps: Registry, tasks: ContainerRegistryTasksMgmtClient
) -> None:
    """The same again changes nothing; forceUpdateTag and a new request do, by PUT and by PATCH."""
    one, two = building("a"), building("b")
    where = (apps.resource_group, apps.name)

    def update(given: Any) -> str:  # noqa: ANN401
        poller = tasks.task_runs.begin_update(*where, "first", given, polling_interval=0)
        result: Any = poller.result(SECONDS).as_dict()
        return str(result["properties"]["runResult"]["name"])

    def put(given: Any) -> str:  # noqa: ANN401
        return str(create(tasks, apps, "first", given)["properties"]["runResult"]["name"])

    assert put(body(one)) == "ca1"
    assert put(body(one)) == "ca1"
    assert put(body(one, "x")) == "ca2"
    assert update({"properties": {"forceUpdateTag": "x"}}) == "ca2"
    assert update({"properties": {"forceUpdateTag": "y"}}) == "ca3"
    assert update({"properties": {"runRequest": two}}) == "ca4"
    assert put(body(two, "y")) == "ca4"
    held = tasks.task_runs.get_details(*where, "first").as_dict()["properties"]
    assert (held["forceUpdateTag"], held["runRequest"]) == ("y", two)
    assert list(apps.runs) == ["ca1", "ca2", "ca3", "ca4"]
    assert still.wait_idle(SECONDS)


def test_only_details_tell_secrets(
    still: LocalCloud, apps: Registry, tasks: ContainerRegistryTasksMgmtClient, arm: httpx.Client
) -> None:
    """Secret values and credentials are not shown to those who may only read."""
    secret = {"name": "name", "value": "s3cret", "isSecret": True}
    plain = {"name": "other", "value": "plain"}
    custom = {"userName": {"value": "me"}, "password": {"value": "pa55"}}
    request = encoded(
        TASK,
        values=[secret, plain],
        credentials={"customRegistries": {"x.azurecr.io": custom}},
    )
    made = arm.put(f"{apps.id}/taskRuns/first", json=body(request))
    override = of_task(apps, "builder", arguments=[secret, plain])
    images.task(apps, "builder", None)
    other = arm.put(f"{apps.id}/taskRuns/other", json=body(override))
    listed = arm.get(f"{apps.id}/taskRuns")
    got = arm.get(f"{apps.id}/taskRuns/first")
    for answer in (made, other, listed, got):
        assert answer.status_code in (200, 201)
        assert "s3cret" not in answer.text
        assert "pa55" not in answer.text
        assert "plain" in answer.text
    details = tasks.task_runs.get_details(apps.resource_group, apps.name, "first")
    assert details.as_dict()["properties"]["runRequest"] == request
    assert still.wait_idle(SECONDS)
    assert "s3cret" not in "\n".join(apps.runs["ca1"].log)


def test_a_task_run_is_deleted(
    still: LocalCloud, apps: Registry, tasks: ContainerRegistryTasksMgmtClient, arm: httpx.Client
) -> None:
    """Its run stays; what is not there is not found, and deleting it is no error."""
    create(tasks, apps, "first", body(building("a")))
    where = (apps.resource_group, apps.name)
    tasks.task_runs.delete(*where, "first")
    assert list(tasks.task_runs.list(*where)) == []
    assert list(apps.runs) == ["ca1"]
    for read in (tasks.task_runs.get, tasks.task_runs.get_details):
        with pytest.raises(ResourceNotFoundError):
            read(*where, "first")
    with pytest.raises(ResourceNotFoundError):
        tasks.task_runs.begin_update(*where, "first", body(encoded("steps: []")))
    assert arm.delete(f"{apps.id}/taskRuns/first").status_code == 204
    assert list(apps.runs) == ["ca1"]
    assert still.wait_idle(SECONDS)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (body({"type": "TaskRunRequest", "taskId": "/tasks/none"}), "ResourceNotFound"),
        (body({"type": "Other"}), "InvalidRequestContent"),
        (
            body({"type": "EncodedTaskRunRequest", "platform": {"os": "Linux"}}),
            "InvalidRequestContent",
        ),
        ({"properties": {}}, "InvalidRequestContent"),
        (
            {**body(encoded("steps: []")), "identity": {"type": "SystemAssigned"}},
            "IdentityNotSupported",
        ),
    ],
)
def test_wrong_task_runs_are_refused(
    apps: Registry,
    tasks: ContainerRegistryTasksMgmtClient,
    given: Any,  # noqa: ANN401
    code: str,
) -> None:
    """By ARM's error; neither a task run nor a run is there then."""
    with pytest.raises(HttpResponseError) as raised:
        create(tasks, apps, "first", given)
    assert raised.value.error is not None
    assert raised.value.error.code == code
    assert (apps.runs, apps.task_runs) == ({}, {})


def test_a_failed_run_is_a_failed_task_run(
    apps: Registry, tasks: ContainerRegistryTasksMgmtClient
) -> None:
    """Whoever waits for the creation, as a deployment does, sees it fail."""
    with pytest.raises(HttpResponseError):
        create(tasks, apps, "first", body(encoded("steps: [{push: [none]}]")))
    held: Any = tasks.task_runs.get(apps.resource_group, apps.name, "first").as_dict()
    assert held["properties"]["provisioningState"] == "Failed"
    assert held["properties"]["runResult"]["properties"]["status"] == "Failed"


def test_a_cancelled_run_is_a_cancelled_task_run(
    still: LocalCloud, apps: Registry, tasks: ContainerRegistryTasksMgmtClient, arm: httpx.Client
) -> None:
    """Until then it is Creating."""
    still.scheduler.behaviour.paused = True
    made = arm.put(f"{apps.id}/taskRuns/first", json=body(building("a")))
    assert made.json()["properties"]["provisioningState"] == "Creating"
    tasks.runs.cancel(apps.resource_group, apps.name, "ca1")
    got = arm.get(f"{apps.id}/taskRuns/first")
    assert got.json()["properties"]["provisioningState"] == "Canceled"
