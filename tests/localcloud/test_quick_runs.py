"""Quick runs, `az acr build` and `az acr run`, of every kind, by the SDK."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient
from azure.mgmt.containerregistrytasks.models import (
    Argument,
    DockerBuildRequest,
    EncodedTaskRunRequest,
    FileTaskRunRequest,
    PlatformProperties,
    RunRequest,
    SetValue,
)

from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry, Run
from tests import images
from tests.patience import SECONDS
from tests.runs import carry_out, encode, encoded, logged, outputs

LINUX = PlatformProperties(os="Linux")
URL = "https://github.com/contoso/app.git"


def quick(
    cloud: LocalCloud,
    tasks: ContainerRegistryTasksMgmtClient,
    registry: Registry,
    request: RunRequest,
) -> Run:
    """Schedule a run by the SDK and wait for its end; return it."""
    run = tasks.registries.schedule_run(registry.resource_group, registry.name, request)
    assert run.as_dict()["properties"]["status"] == "Queued"
    assert cloud.wait_idle(SECONDS)
    return registry.runs[str(run.name)]


def upload(
    cloud: LocalCloud,
    tasks: ContainerRegistryTasksMgmtClient,
    registry: Registry,
    files: dict[str, str],
) -> str:
    """Upload a context as `az acr build` does; return its path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    where = (registry.resource_group, registry.name)
    address = tasks.registries.get_build_source_upload_url(*where)
    with cloud.network.client() as http:
        http.put(str(address.upload_url), content=buffer.getvalue()).raise_for_status()
    return str(address.relative_path)


@pytest.mark.parametrize("pushes", [True, False])
def test_az_acr_build(
    still: LocalCloud, apps: Registry, tasks: ContainerRegistryTasksMgmtClient, *, pushes: bool
) -> None:
    """An upload is built with its arguments up to its target, and pushed unless it is not to be."""
    dockerfile = "FROM scratch AS a\nARG X\nLABEL x=$X\nFROM scratch\nLABEL y=1\n"
    source = upload(still, tasks, apps, {"sub/Dockerfile": dockerfile})
    request = DockerBuildRequest(
        docker_file_path="sub/Dockerfile",
        image_names=["app:{{.Run.ID}}", "app"],
        arguments=[Argument(name="X", value="s3cret", is_secret=True)],
        target="a",
        is_push_enabled=pushes,
        source_location=source,
        platform=LINUX,
    )
    run = quick(still, tasks, apps, request)
    assert run.properties["status"] == "Succeeded", logged(run)
    assert run.properties["runType"] == "QuickRun"
    assert outputs(run) == ([f"app:{run.run_id}", "app:latest"] if pushes else [])
    assert (still.registry.manifest(apps, "app", "latest") is not None) == pushes
    assert "LABEL y=1" not in logged(run)
    assert "s3cret" not in logged(run)


@pytest.mark.parametrize("source", ["/dev/null", None])
def test_az_acr_run_without_a_context(
    still: LocalCloud,
    apps: Registry,
    tasks: ContainerRegistryTasksMgmtClient,
    source: str | None,
) -> None:
    """A task file and values that the client sends; /dev/null and nothing are no context."""
    text = "version: v1.1.0\nsteps:\n- cmd: '{{.Values.image}} {{.Values.word}}'\n"
    request = EncodedTaskRunRequest(
        encoded_task_content=encode(text),
        encoded_values_content=encode("image: node:9-alpine\nword: file\n"),
        values_property=[SetValue(name="word", value="set")],
        source_location=source,
        platform=LINUX,
    )
    run = quick(still, tasks, apps, request)
    assert run.properties["runType"] == "QuickRun"
    assert run.properties["status"] == "Failed"
    assert "the embedded builder runs no commands, so not node:9-alpine" in logged(run)


@pytest.mark.needs("buildah", "busybox")
def test_az_acr_run_of_a_command(tmp_path: Path) -> None:
    """`az acr run --cmd` runs an image in an empty folder."""
    with LocalCloud(tmp_path / "real", builder="buildah") as cloud:
        apps = images.registry(cloud, "myapps")
        # As azure-cli 2.91 writes it: acr/_utils.py, get_yaml_template.
        request = encoded(
            "version: v1.1.0\n"
            "steps: \n"
            "  - cmd: node:9-alpine sh -c 'echo hello; ls /workspace'\n"
            "    disableWorkingDirectoryOverride: true\n"
            "    timeout: 600\n"
        )
        run = carry_out(cloud, apps, request)
    assert run.properties["status"] == "Succeeded", logged(run)
    said = [line.split(" ", 2)[-1] for line in run.log]
    assert said[said.index("hello") + 1].startswith("Successfully executed")


def test_az_acr_run_of_a_file(
    still: LocalCloud, apps: Registry, tasks: ContainerRegistryTasksMgmtClient
) -> None:
    """A task file of the context, with the context's values and those that are set."""
    files = {
        "Dockerfile": "FROM scratch\nLABEL a=1\n",
        "acb.yaml": (
            "version: v1.1.0\n"
            "steps:\n"
            "- build: -t $Registry/{{.Values.name}}:{{.Values.tag}} .\n"
            "- push: ['$Registry/{{.Values.name}}:{{.Values.tag}}']\n"
        ),
        "values.yaml": "name: app\ntag: file\n",
    }
    request = FileTaskRunRequest(
        task_file_path="acb.yaml",
        values_file_path="values.yaml",
        values_property=[SetValue(name="tag", value="set")],
        source_location=upload(still, tasks, apps, files),
        platform=LINUX,
        timeout=600,
    )
    run = quick(still, tasks, apps, request)
    assert run.properties["status"] == "Succeeded", logged(run)
    assert (outputs(run), run.properties["runType"]) == (["app:set"], "QuickRun")


def test_quick_runs_are_listed_without_a_task(
    still: LocalCloud, apps: Registry, tasks: ContainerRegistryTasksMgmtClient
) -> None:
    """Beside those of tasks, which have one."""
    images.task(apps, "builder", None)
    task: Any = {"type": "TaskRunRequest", "taskId": f"{apps.id}/tasks/builder"}
    quick(still, tasks, apps, task)
    request = EncodedTaskRunRequest(encoded_task_content=encode("steps: []"), platform=LINUX)
    run = quick(still, tasks, apps, request)
    (listed,) = tasks.runs.list(apps.resource_group, apps.name, filter="TaskName eq ''")
    told: Any = listed.as_dict()["properties"]
    assert (listed.name, told.get("task")) == (run.run_id, None)


def of(kind: str, **more: object) -> Json:
    """Return a request with what all have."""
    return {"type": kind, "platform": {"os": "Linux"}, **more}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (of("DockerBuildRequest"), "dockerFilePath"),
        (of("FileTaskRunRequest"), "taskFilePath"),
        (of("EncodedTaskRunRequest"), "encodedTaskContent"),
        ({"type": "DockerBuildRequest", "dockerFilePath": "D"}, "platform"),
        (of("BuildRequest"), 'value "BuildRequest" to type'),
        ({}, "Required property 'type' not found"),
        (of("DockerBuildRequest", dockerFilePath="D", timeout=299), "299"),
        (of("DockerBuildRequest", dockerFilePath="D", timeout=28801), "28801"),
    ],
)
def test_wrong_requests_are_refused(
    apps: Registry,
    tasks: ContainerRegistryTasksMgmtClient,
    request_: Any,  # noqa: ANN401 - the SDK takes JSON, too
    said: str,
) -> None:
    """ARM's error names what is missing or wrong; no run is there."""
    with pytest.raises(HttpResponseError) as raised:
        tasks.registries.schedule_run(apps.resource_group, apps.name, request_)
    assert raised.value.status_code == 400
    assert raised.value.error is not None
    assert raised.value.error.code == "InvalidRequestContent"
    assert said in str(raised.value.error.message)
    assert apps.runs == {}


def test_a_task_that_is_not_there_or_disabled_is_not_run(
    apps: Registry, tasks: ContainerRegistryTasksMgmtClient
) -> None:
    """404 and 400."""
    request: Any = {"type": "TaskRunRequest", "taskId": f"{apps.id}/tasks/builder"}
    where = (apps.resource_group, apps.name)
    with pytest.raises(ResourceNotFoundError):
        tasks.registries.schedule_run(*where, request)
    images.task(apps, "builder", None, status="Disabled")
    with pytest.raises(HttpResponseError) as raised:
        tasks.registries.schedule_run(*where, request)
    assert raised.value.status_code == 400
    assert apps.runs == {}
