"""Runs, by either builder: context, build, push, log, dependencies."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.identity import ManagedIdentityCredential
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient

from localcloud.builds.dockerfiles import expand
from localcloud.builds.execution import Execution
from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry
from tests import images
from tests.patience import SECONDS

CONTEXT = "https://github.com/contoso/app.git"
CREDENTIALS = {"customRegistries": {"mybase.azurecr.io": {"identity": "[system]"}}}
DOCKERFILE = """\
ARG REGISTRY
FROM $REGISTRY/node:9 AS build
ARG WHO=nobody
ENV GREETING="hello ${WHO}" PLAIN=1
LABEL made="by ${GREETING}"
WORKDIR /src
COPY app.txt sub/*.txt ./
RUN true

FROM build
COPY --from=build /src/app.txt /copied.txt
USER 1000
EXPOSE 8080
STOPSIGNAL SIGINT
VOLUME /data
ENTRYPOINT ["sh"]
CMD echo hi
"""


BUILDAH = pytest.param("buildah", marks=pytest.mark.needs("buildah", "busybox"))


@pytest.fixture(name="clouds", params=["embedded", BUILDAH])
def _clouds(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path / "cloud", builder=request.param) as cloud:
        for name, value in cloud.environment(cloud.developer).items():
            monkeypatch.setenv(name, value)
        yield cloud


def context(folder: Path, dockerfile: str = DOCKERFILE) -> Path:
    """Write a build context."""
    source = folder / "source"
    (source / "sub").mkdir(parents=True)
    (source / "Dockerfile").write_text(dockerfile)
    (source / "app.txt").write_text("app")
    (source / "sub" / "more.txt").write_text("more")
    return source


def schedule(target: Registry, request: Json) -> str:
    """Schedule a run through Azure's SDK; return its id."""
    body: Any = request
    with (
        ManagedIdentityCredential() as identity,
        ContainerRegistryTasksMgmtClient(identity, target.subscription_id) as client,
    ):
        run = client.registries.schedule_run(target.resource_group, target.name, body)
        return str(run.name)


def config_of(cloud: LocalCloud, target: Registry, repository: str, tag: str) -> Json:
    """Return an image's configuration."""
    manifest = cloud.registry.manifest(target, repository, tag)
    assert manifest is not None
    data = cloud.registry.blob(target, repository, manifest.content["config"]["digest"])
    config: Json = json.loads(data or b"{}")
    return config


def files_of(cloud: LocalCloud, target: Registry, repository: str, tag: str) -> dict[str, bytes]:
    """Return the files of an image's layers."""
    manifest = cloud.registry.manifest(target, repository, tag)
    assert manifest is not None
    found = {}
    for layer in manifest.content["layers"]:
        data = cloud.registry.blob(target, repository, layer["digest"])
        with tarfile.open(fileobj=io.BytesIO(data or b"")) as archive:
            for member in archive:
                held = archive.extractfile(member) if member.isfile() else None
                if held is not None:
                    found[member.name] = held.read()
    return found


def base_image(cloud: LocalCloud, target: Registry) -> str:
    """Copy Docker Hub's image, which has a shell if the machine gave one, to a registry."""
    hub = cloud.registry.hub()
    manifest = cloud.registry.manifest(hub, "library/node", "9-alpine")
    assert manifest is not None
    for part in (manifest.content["config"], *manifest.content["layers"]):
        data = cloud.registry.blob(hub, "library/node", part["digest"])
        cloud.registry.put_blob(target, "node", data or b"")
    put = cloud.registry.put_manifest
    return put(target, "node", "9", manifest.media_type, manifest.data).digest


def test_a_task_builds_pushes_and_records(clouds: LocalCloud, tmp_path: Path) -> None:
    """A run by a task: arguments, templates, stages, files, settings, outputs, dependencies."""
    base, apps = images.registry(clouds, "mybase"), images.registry(clouds, "myapps", 1)
    digest = base_image(clouds, base)
    clouds.map_context(CONTEXT, context(tmp_path))
    task = images.task(apps, "builder", None, credentials=CREDENTIALS)
    images.identify(clouds, apps, task, ("AcrPull", base))
    arguments = [
        {"name": "REGISTRY", "value": "mybase.azurecr.io"},
        {"name": "WHO", "value": "{{.Run.Registry}}"},
    ]
    task.properties["step"] |= {"arguments": arguments, "imageNames": ["app:{{.Run.ID}}", "app:l"]}
    task_id = f"{apps.id}/tasks/builder"
    run_id = schedule(apps, {"type": "TaskRunRequest", "taskId": task_id})
    assert clouds.wait_idle(SECONDS)

    run = apps.runs[run_id]
    assert run.properties["status"] == "Succeeded", "\n".join(run.log)
    assert [(o["repository"], o["tag"]) for o in run.properties["outputImages"]] == [
        ("app", run_id),
        ("app", "l"),
    ]
    config = config_of(clouds, apps, "app", run_id)["config"]
    assert {"GREETING=hello myapps.azurecr.io", "PLAIN=1"} <= set(config["Env"])
    assert config["Labels"]["made"] == "by hello myapps.azurecr.io"
    assert config["WorkingDir"].rstrip("/") == "/src"
    assert (config["User"], config["StopSignal"]) == ("1000", "SIGINT")
    assert config["Entrypoint"] == ["sh"]
    assert config["Cmd"] == ["/bin/sh", "-c", "echo hi"]
    assert "8080/tcp" in config["ExposedPorts"]
    assert "/data" in config["Volumes"]
    files = files_of(clouds, apps, "app", run_id)
    assert files["copied.txt"] == files["src/app.txt"] == b"app"
    assert files["src/more.txt"] == b"more"
    recorded = task.properties["step"]["baseImageDependencies"]
    expected = images.dependency("mybase.azurecr.io/node:9", digest)
    assert recorded == [expected, expected]  # once per output tag, as ACR does
    log = "\n".join(run.log)
    assert f"Run ID: {run_id} was successful" in log
    assert ("NOT RUN" in log) == (clouds.builder == "embedded")


def test_an_uploaded_context_is_built(clouds: LocalCloud, tmp_path: Path) -> None:
    """`az acr build`: an uploaded context, a base from Docker Hub, a log to read."""
    base = images.registry(clouds, "mybase")
    source = context(tmp_path, "FROM node:9-alpine\nENV A=1\n")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        packed.add(source, arcname=".")
    with (
        ManagedIdentityCredential() as identity,
        ContainerRegistryTasksMgmtClient(identity, base.subscription_id) as client,
        clouds.network.client() as http,
    ):
        upload = client.registries.get_build_source_upload_url(base.resource_group, base.name)
        http.put(str(upload.upload_url), content=archive.getvalue()).raise_for_status()
        request: Any = {
            "type": "DockerBuildRequest",
            "imageNames": ["node:9"],
            "dockerFilePath": "Dockerfile",
            "sourceLocation": upload.relative_path,
            "platform": {"os": "Linux"},
        }
        run_id = schedule(base, request)
        assert clouds.wait_idle(SECONDS)
        link = client.runs.get_log_sas_url(base.resource_group, base.name, run_id).log_link
        log = http.get(str(link))
        unsigned = http.get(str(link).partition("?")[0])
        guessed = http.put(str(upload.upload_url) + "x", content=b"")

    assert f"Run ID: {run_id} was successful" in log.text
    assert log.headers["x-ms-meta-complete"] == "successful"
    assert (unsigned.status_code, guessed.status_code) == (403, 403)
    assert "A=1" in config_of(clouds, base, "node", "9")["config"]["Env"]
    assert base.runs[run_id].properties["runType"] == "QuickRun"


@pytest.mark.parametrize(
    ("dockerfile", "changes", "said"),
    [
        ("FROM mybase.azurecr.io/node:9\n", {"credentials": None}, "unauthorized"),
        ("FROM mybase.azurecr.io/none:9\n", {}, "none"),
        ("FROM mybase.azurecr.io/node:9\nCOPY none.txt /\n", {}, "none.txt"),
        ("FROM --platform=linux/amd64 mybase.azurecr.io/node:9\n", {}, "unable to understand"),
    ],
)
def test_what_cannot_be_built_fails_with_the_reason(
    clouds: LocalCloud, tmp_path: Path, dockerfile: str, changes: Json, said: str
) -> None:
    """A failed run says why in its log and its error, and records no dependency."""
    base, apps = images.registry(clouds, "mybase"), images.registry(clouds, "myapps", 1)
    base_image(clouds, base)
    clouds.map_context(CONTEXT, context(tmp_path, dockerfile))
    task = images.task(apps, "builder", None, **{"credentials": CREDENTIALS, **changes})
    images.identify(clouds, apps, task, ("AcrPull", base))
    run_id = schedule(apps, {"type": "TaskRunRequest", "taskId": f"{apps.id}/tasks/builder"})
    assert clouds.wait_idle(SECONDS)

    run = apps.runs[run_id]
    assert run.properties["status"] == "Failed"
    assert said in "\n".join(run.log)
    assert run.properties["runErrorMessage"]
    assert task.properties["step"]["baseImageDependencies"] is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"contextPath": "https://github.com/contoso/unknown.git"}, "is not mapped"),
        ({"contextPath": f"{CONTEXT}#:none"}, "has no folder none"),
        ({"contextPath": f"{CONTEXT}#:../.."}, "has no folder"),
        ({"dockerFilePath": "none"}, "unable to find none"),
        ({"dockerFilePath": "../../outside"}, "is outside of the context"),
        ({"imageNames": ["app:{{.Run.Nonsense}}"]}, "invalid reference format"),
        ({"type": "EncodedTask"}, "not a YAML mapping"),
        ({"target": "nostage"}, "nostage"),
    ],
)
def test_what_the_cloud_cannot_do_is_said(
    cloud: LocalCloud, tmp_path: Path, changes: Json, said: str
) -> None:
    """A step that cannot be run fails with a clear message."""
    apps = images.registry(cloud, "myapps")
    cloud.map_context(CONTEXT, context(tmp_path, "FROM node:9-alpine\n"))
    (tmp_path / "cloud" / "outside").write_text("FROM scratch\n")
    task = images.task(apps, "builder", None)
    task.properties["step"] |= changes
    run_id = schedule(apps, {"type": "TaskRunRequest", "taskId": f"{apps.id}/tasks/builder"})
    assert cloud.wait_idle(SECONDS)

    assert apps.runs[run_id].properties["status"] == "Failed"
    assert said in apps.runs[run_id].properties["runErrorMessage"]


def test_a_cancelled_run_pushes_nothing(
    clouds: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelling ends the build; nothing is pushed or recorded."""
    apps = images.registry(clouds, "myapps")
    folder = context(tmp_path, "FROM node:9-alpine\nLABEL a=b\nLABEL c=d\n")
    clouds.map_context(CONTEXT, folder)
    task = images.task(apps, "builder", None)
    cancelled: list[bool] = []

    def cancel() -> None:
        (run,) = apps.runs.values()
        cancelled.append(clouds.scheduler.cancel(run))

    write = Execution.log

    def watched(self: Execution, line: str) -> None:
        write(self, line)
        if line == "Launching build":
            cancel()

    monkeypatch.setattr(Execution, "log", watched)
    run_id = schedule(apps, {"type": "TaskRunRequest", "taskId": f"{apps.id}/tasks/builder"})
    assert clouds.wait_idle(SECONDS)

    assert cancelled == [True]
    assert apps.runs[run_id].properties["status"] == "Canceled"
    assert apps.runs[run_id].properties["outputImages"] == []
    assert clouds.registry.manifest(apps, "builder", run_id) is None
    assert task.properties["step"]["baseImageDependencies"] is None


def test_a_folder_of_the_context_and_overrides(cloud: LocalCloud, tmp_path: Path) -> None:
    """`#branch:folder` chooses a folder; a run may override file, target and arguments."""
    apps = images.registry(cloud, "myapps")
    source = context(tmp_path, "FROM scratch\n")
    text = "FROM node:9-alpine AS one\nARG A=0\nENV A=$A\nFROM scratch\n"
    (source / "sub" / "Other").write_text(text)
    cloud.map_context(CONTEXT, source)
    images.task(apps, "builder", None)
    request: Json = {"type": "TaskRunRequest", "taskId": f"{apps.id}/tasks/builder"}
    request["overrideTaskStepProperties"] = {
        "contextPath": f"{CONTEXT}#:sub",
        "file": "Other",
        "target": "one",
        "arguments": [{"name": "A", "value": "7"}],
    }
    run_id = schedule(apps, request)
    assert cloud.wait_idle(SECONDS)

    assert "A=7" in config_of(cloud, apps, "builder", run_id)["config"]["Env"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A-${A}", "1-1"),
        ("${B:-x}${B-x}", "xx"),
        ("${E:-x}${E-x}", "x"),
        ("${A:+y}${B:+y}${E+z}", "yz"),
        ("${B:-$A}", "1"),
        (r"\$A", "$A"),
        ("$", "$"),
    ],
)
def test_variables_are_expanded(text: str, expected: str) -> None:
    """The embedded builder expands as Dockerfiles do."""
    assert expand(text, {"A": "1", "E": ""}) == expected
