"""Multi-step tasks, carried out: what they build, run and push, and how they fail."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry, Run
from tests import images
from tests.clocks import LeapingClock, StoppedClock
from tests.patience import SECONDS, until
from tests.runs import carry_out, encoded, logged, of_task, outputs, start

URL = "https://github.com/contoso/app.git"
BUILDAH = pytest.mark.needs("buildah", "busybox")
SAMPLES = Path(__file__).parents[2] / "samples" / "helloworld-node"
FROM_HUB = "FROM node:9-alpine\n"


@pytest.fixture(name="source")
def _source(tmp_path: Path) -> Path:
    """A context with a Dockerfile here and one in a folder."""
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "Dockerfile").write_text(FROM_HUB)
    (source / "sub" / "Dockerfile").write_text("FROM scratch\nCOPY file /\n")
    (source / "sub" / "file").write_text("x")
    return source


@pytest.fixture(name="fast")
def _fast(tmp_path: Path) -> Iterator[LocalCloud]:
    """A cloud in which nothing takes time but waiting, and that at once."""
    with LocalCloud(tmp_path / "fast", builder="embedded", clock=LeapingClock()) as cloud:
        yield cloud


def run_file(cloud: LocalCloud, registry: Registry, source: Path, text: str, **more: object) -> Run:
    """Carry a task file out in a context."""
    cloud.map_context(URL, source)
    return carry_out(cloud, registry, encoded(text, URL, **more))


def test_images_are_built_and_pushed(still: LocalCloud, apps: Registry, source: Path) -> None:
    """Also on one another; one named twice is pushed once, one without a tag is `latest`."""
    (source / "Next").write_text("FROM myapps.azurecr.io/one\nCOPY sub/file /\n")
    run = run_file(
        still,
        apps,
        source,
        """\
version: v1.1.0
steps:
  - id: one
    build: -t myapps.azurecr.io/one -t $Registry/one:$ID .
  - build: -t $Registry/two:x -f Next .
  - push: [$Registry/one, "$Registry/one:latest", "{{.Run.Registry}}/one:{{.Run.ID}}"]
    when: [one]
  - push:
      - $Registry/two:x
""",
    )
    assert run.properties["status"] == "Succeeded", logged(run)
    assert outputs(run) == ["one:latest", f"one:{run.run_id}", "two:x"]
    assert {image["registry"] for image in run.properties["outputImages"]} == {apps.login_server}
    for image in run.properties["outputImages"]:
        held = still.registry.manifest(apps, image["repository"], image["tag"])
        assert held is not None
        assert held.digest == image["digest"]


def test_a_tasks_builds_are_recorded(still: LocalCloud, apps: Registry, source: Path) -> None:
    """What its build steps are built on, once per name, and nothing for what is only pushed."""
    still.map_context(URL, source)
    (source / "acb.yaml").write_text(
        "version: v1.1.0\n"
        "steps:\n"
        "  - build: -t $Registry/a:1 -t $Registry/a:2 .\n"
        "  - build: -t $Registry/b sub\n"
        "  - push: ['$Registry/a:1']\n"
    )
    task = images.task(apps, "steps", None)
    task.properties["step"] = {"type": "FileTask", "taskFilePath": "acb.yaml", "contextPath": URL}
    run = carry_out(still, apps, of_task(apps, "steps"))

    assert run.properties["status"] == "Succeeded", logged(run)
    assert outputs(run) == ["a:1"]
    hub = still.registry.manifest(still.registry.hub(), "library/node", "9-alpine")
    assert hub is not None
    node = images.dependency("registry.hub.docker.com/library/node:9-alpine", hub.digest)
    scratch = images.dependency("registry.hub.docker.com/library/scratch:latest")
    assert task.properties["step"]["baseImageDependencies"] == [node, node, scratch]


def test_values_come_from_the_file_the_task_and_the_run(
    still: LocalCloud, apps: Registry, source: Path
) -> None:
    """Each goes before the one it comes after; those that are secret are not shown."""
    still.map_context(URL, source)
    (source / "values.yaml").write_text("a: file\nb: file\nc: file\n")
    (source / "sub" / "task.yaml").write_text(
        "version: v1.1.0\n"
        "steps:\n"
        "  - build: -t $Registry/x:{{.Values.a}}-{{.Values.b}}-{{.Values.c}} .\n"
        "  - push: ['$Registry/x:{{.Values.a}}-{{.Values.b}}-{{.Values.c}}']\n"
    )
    task = images.task(apps, "steps", None)
    task.properties["step"] = {
        "type": "FileTask",
        "taskFilePath": "sub/task.yaml",
        "valuesFilePath": "values.yaml",
        "contextPath": URL,
        "values": [{"name": "b", "value": "task"}, {"name": "c", "value": "task"}],
    }
    secret: Json = {"name": "c", "value": "s3cret", "isSecret": True}
    run = carry_out(still, apps, of_task(apps, "steps", values=[secret]))

    assert outputs(run) == ["x:file-task-s3cret"]
    assert "Pushing image: myapps.azurecr.io/x:file-task-***" in logged(run)
    assert "s3cret" not in logged(run)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"taskFilePath": "none.yaml"}, "unable to find none.yaml in the context"),
        ({"taskFilePath": "../outside.yaml"}, "../outside.yaml is outside of the context"),
        ({"valuesFilePath": "none.yaml"}, "unable to find none.yaml in the context"),
        ({"values": [{"name": "v", "value": "s3cret", "isSecret": True}]}, "not know *** here"),
    ],
)
def test_files_that_are_not_there_fail(
    still: LocalCloud, apps: Registry, source: Path, changes: Json, said: str
) -> None:
    """The error names them, and no secret."""
    still.map_context(URL, source)
    (source / "acb.yaml").write_text("steps:\n- cmd: i\n  not know {{.Values.v}} here: 1\n")
    task = images.task(apps, "steps", None)
    task.properties["step"] = {"type": "FileTask", "contextPath": URL, **changes}
    run = carry_out(still, apps, of_task(apps, "steps"))
    assert run.properties["status"] == "Failed"
    assert said in run.properties["runErrorMessage"]
    assert said in logged(run)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps:\n- cmd: a\n  privileged: true\n", "line 3: acb_step_0: the local cloud does not"),
        ("steps:\n- cmd: a\n  ports: ['1:1']\n", "the local cloud does not do ports"),
        ("steps: [{cmd: a}]\nsecrets: [{id: b}]\n", "line 2: the task: the local cloud does not"),
        ("steps:\n- cmd: node:9-alpine true\n", "the embedded builder runs no commands"),
        ("steps:\n- build: -t a --secret b=c .\n", "does not do `docker build --secret`"),
        ("steps:\n- push: [none]\n", "does not exist locally with the tag"),
        ("steps:\n- build: -t a ../..\n", "is outside of the context"),
        (
            "steps:\n- build: -t a .\n  workingDirectory: /src\n",
            "/src/Dockerfile: the local cloud builds only below /workspace",
        ),
        ("steps:\n- build: -t a https://github.com/x/y.git\n", "is not mapped"),
        ("steps:\n- build: -t a -f None .\n", "unable to find None in the context"),
    ],
)
def test_what_cannot_be_done_fails_the_run(
    still: LocalCloud, apps: Registry, source: Path, text: str, said: str
) -> None:
    """The log tells why; what a later step would have pushed is not there."""
    run = run_file(still, apps, source, f"{text}# and then\n")
    assert run.properties["status"] == "Failed"
    assert said in logged(run)
    assert said in run.properties["runErrorMessage"]
    assert outputs(run) == []
    assert run.log[-1].endswith("Error: failed during run, err: exit status 1")


def test_encoded_content_must_be_text(still: LocalCloud, apps: Registry) -> None:
    """Other bytes fail the run."""
    request = {**encoded(""), "encodedTaskContent": "/w=="}
    run = carry_out(still, apps, request)
    assert "not text in Base64" in run.properties["runErrorMessage"]


def test_a_build_begins_where_it_is_told_to(
    still: LocalCloud, apps: Registry, source: Path
) -> None:
    """Below /workspace, named from there or with the whole path."""
    run = run_file(
        still,
        apps,
        source,
        """\
version: v1.1.0
workingDirectory: sub
steps:
  - build: -t $Registry/a -f Dockerfile .
  - build: -t $Registry/b -f Dockerfile .
    workingDirectory: /workspace/sub
  - build: -t $Registry/c -f sub/Dockerfile sub
    workingDirectory: /workspace
  - push: [$Registry/a, $Registry/b, $Registry/c]
""",
    )
    assert run.properties["status"] == "Succeeded", logged(run)
    assert outputs(run) == ["a:latest", "b:latest", "c:latest"]
    assert len({image["digest"] for image in run.properties["outputImages"]}) == 1


def test_a_build_may_have_a_context_of_its_own(
    fast: LocalCloud, source: Path, tmp_path: Path
) -> None:
    """Another repository, each time anew; the Dockerfile is that context's."""
    apps = images.registry(fast, "myapps")
    other = tmp_path / "other"
    other.mkdir()
    (other / "Other").write_text("FROM scratch\nLABEL other=1\n")
    fast.map_context("https://github.com/contoso/other.git", other)
    text = (
        "version: v1.1.0\n"
        "stepTimeout: 20000\n"
        "steps:\n"
        "- build: -t $Registry/a -f Other https://github.com/contoso/other.git\n"
        "  repeat: 2\n"
        "- push: [$Registry/a]\n"
    )
    run = run_file(fast, apps, source, text, timeout=28800)
    assert run.properties["status"] == "Succeeded", logged(run)
    assert logged(run).count("Step 2/2 : LABEL other=1") == 3


def test_a_step_is_tried_again(fast: LocalCloud, source: Path) -> None:
    """So often as it says; then the run fails, and nothing is pushed."""
    apps = images.registry(fast, "myapps")
    (source / "Dockerfile").write_text("FROM scratch\nCOPY none /\n")
    text = "steps:\n- {id: b, build: -t a ., retries: 2}\n- push: [a]\n"
    run = run_file(fast, apps, source, f"stepTimeout: 20000\n{text}", timeout=28800)
    assert run.properties["status"] == "Failed"
    assert logged(run).count("Retrying...") == 2
    assert logged(run).count("Launching build") == 3
    assert "failed to run step ID: b: COPY failed" in run.properties["runErrorMessage"]
    assert outputs(run) == []


def test_errors_may_be_ignored(still: LocalCloud, apps: Registry, source: Path) -> None:
    """The steps after it are carried out, and the run succeeds."""
    text = (
        "version: v1.1.0\n"
        "steps:\n"
        "- {id: broken, build: -t a none, ignoreErrors: true}\n"
        "- {build: -t $Registry/b ., when: [broken]}\n"
        "- push: [$Registry/b]\n"
    )
    run = run_file(still, apps, source, text)
    assert run.properties["status"] == "Succeeded", logged(run)
    assert "Step ID: broken encountered an error" in logged(run)
    assert outputs(run) == ["b:latest"]


def test_a_delay_is_waited_for(still: LocalCloud, apps: Registry, source: Path) -> None:
    """Until the run is cancelled, a step that begins in an hour has not begun."""
    still.map_context(URL, source)
    text = "steps:\n- {id: late, build: -t a ., startDelay: 3600}\n"
    run = start(still, apps, encoded(text, URL))
    until(lambda: "Waiting 3600 seconds before executing step ID: late" in logged(run))
    assert not still.wait_idle(0.01)
    assert still.scheduler.cancel(run)
    assert still.wait_idle(SECONDS)
    assert "Launching build" not in logged(run)


@BUILDAH
def test_commands_run_in_the_shared_folder(tmp_path: Path, source: Path) -> None:
    """With their variables and entry point; what fails is tried again, what is over repeated."""
    text = """\
version: v1.1.0
stepTimeout: 6000
env: [A=task, B=task]
alias: {values: {node: "node:9-alpine"}}
steps:
  - build: -t $Registry/app:$ID -f Dockerfile-app --build-arg FROM=node:9-alpine .
  - cmd: $Registry/app:$ID
  - cmd: node sh -c 'echo "$A-$B-$(ls)"'
    env: [B=step]
    workingDirectory: sub
  - cmd: node -c 'echo "$0"; ls' "is /workspace"
    entryPoint: /bin/sh
    workingDirectory: /
  - cmd: node sh -c 'echo again; ls done || { echo > done; false; }'
    retries: 1
  - cmd: node sh -c 'echo x >> sub/times'
    repeat: 2
  - cmd: node cat sub/times
  - cmd: node sh -c 'exit 3'
    ignoreErrors: true
  - push: ["$Registry/app:$ID"]
"""
    (source / "Dockerfile-app").write_text(
        "ARG FROM\nFROM $FROM\nRUN echo built > /built\nCMD cat /built; echo from the image\n"
    )
    with LocalCloud(tmp_path / "real", builder="buildah", clock=LeapingClock()) as cloud:
        apps = images.registry(cloud, "myapps")
        run = run_file(cloud, apps, source, text, timeout=28800)
    log = [line.split(" ", 2)[-1] for line in run.log]
    assert run.properties["status"] == "Succeeded", logged(run)
    assert outputs(run) == [f"app:{run.run_id}"]
    assert log.count("built") == log.count("from the image") == 1
    assert "task-step-Dockerfile" in logged(run)
    assert "is /workspace" in log
    assert "workspace" in log
    assert log.count("again") == 2
    assert log.count("x") == 3
    assert "encountered an error" in logged(run)


def _says(run: Run, text: str) -> bool:
    return any(line.endswith(text) for line in run.log)


@BUILDAH
def test_a_steps_time_is_limited(tmp_path: Path, source: Path) -> None:
    """What still runs is ended; the run fails, unless the step's errors are ignored."""
    text = """\
version: v1.1.0
steps:
  - id: first
    cmd: node:9-alpine sh -c 'echo begun first; sleep 3000'
    timeout: 100
    ignoreErrors: true
  - build: -t $Registry/a .
  - push: [$Registry/a]
  - id: second
    cmd: node:9-alpine sh -c 'echo begun second; sleep 3000'
    timeout: 100
"""
    clock = StoppedClock()
    with LocalCloud(tmp_path / "real", builder="buildah", clock=clock) as cloud:
        apps = images.registry(cloud, "myapps")
        cloud.map_context(URL, source)
        run = start(cloud, apps, encoded(text, URL, timeout=28800))
        for begun in (" begun first", " begun second"):
            until(partial(_says, run, begun))
            clock.forward(100)
        assert cloud.wait_idle(SECONDS)
    assert "Step ID: first encountered an error: timed out after 100 seconds" in logged(run)
    assert run.properties["status"] == "Failed"
    said = "failed to run step ID: second: timed out after 100 seconds"
    assert run.properties["runErrorMessage"] == said
    assert "Pushing image: myapps.azurecr.io/a:latest" in logged(run)


@BUILDAH
def test_images_that_are_not_here_are_named(tmp_path: Path, source: Path) -> None:
    """Microsoft's own images are out of reach; the log says which one."""
    with LocalCloud(tmp_path / "real", builder="buildah") as cloud:
        apps = images.registry(cloud, "myapps")
        run = run_file(cloud, apps, source, "version: v1.1.0\nsteps: [{cmd: bash -c 'echo x'}]\n")
    assert run.properties["status"] == "Failed"
    assert "mcr.microsoft.com/acr/bash" in logged(run)


@BUILDAH
def test_the_sample_is_carried_out(tmp_path: Path) -> None:
    """Built on a base image of the same registry, looked into, pushed."""
    with LocalCloud(tmp_path / "real", builder="buildah") as cloud:
        apps = images.registry(cloud, "myapps")
        cloud.map_context(URL, SAMPLES)
        common: Json = {"sourceLocation": URL, "platform": {"os": "Linux"}}
        names = {"dockerFilePath": "Dockerfile-base", "imageNames": ["baseimages/node:9-alpine"]}
        base = carry_out(cloud, apps, {"type": "DockerBuildRequest", **names, **common})
        assert outputs(base) == ["baseimages/node:9-alpine"], logged(base)
        values = [{"name": "baseRegistry", "value": apps.login_server}]
        request = {"type": "FileTaskRunRequest", "taskFilePath": "taskmulti.yaml", **common}
        run = carry_out(cloud, apps, {**request, "values": values})
    assert run.properties["status"] == "Succeeded", logged(run)
    assert "built on Node.js 9.11.2" in logged(run)
    assert outputs(run) == [f"hellomulti:{run.run_id}"]
