"""`rebuilder gaps` finds each thing that ACR's scanner gets wrong, in tasks that ran or tried."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.cloud import LocalCloud
from rebuilder.cli import main as cli
from rebuilder.composition import compose, release
from rebuilder.core.acr.registries import RegistryId, TaskId
from tests import images
from tests.patience import SECONDS

BASE = "mybase.azurecr.io"
CREDENTIALS = {"customRegistries": {BASE: {"identity": "[system]"}}}
TRIGGER = {"baseImageTrigger": {"name": "d", "baseImageTriggerType": "All", "status": "Enabled"}}


class Place:
    """A local cloud with a base registry, a task registry, and a folder per task."""

    def __init__(self, cloud: LocalCloud, folder: Path) -> None:
        self.cloud = cloud
        self.base = images.registry(cloud, "mybase")
        self.apps = images.registry(cloud, "myapps", 1)
        cloud.authorize_rebuilder([self.base], [self.apps])
        self._folder = folder
        self.settings = {
            "AzureWebJobsStorage": f"sqlite:{folder / 'rebuilder.db'}",
            "REBUILDER_BASE_REGISTRIES": self.base.id,
            "REBUILDER_TASK_REGISTRIES": self.apps.id,
        }
        self.digests = {
            f"{name}:{tag}": images.push(cloud, self.base, name, tag, name, {"file": tag.encode()})
            for name, tag in (
                *(("alpine", "1"), ("alpine", "2"), ("alpine", "3")),
                *(("golang", "1.22"), ("ext", "1"), ("evil", "1")),
            )
        }

    def task(self, name: str, files: dict[str, str], **step: object) -> TaskId:
        """Create a task on a context of its own."""
        folder = self._folder / name
        folder.mkdir()
        for path, text in files.items():
            (folder / path).write_text(text)
        address = f"https://github.com/contoso/{name}.git"
        self.cloud.map_context(address, folder)
        made = images.task(self.apps, name, None, credentials=CREDENTIALS, trigger=TRIGGER)
        made.properties["step"] |= {"contextPath": address, **step}
        images.identify(self.cloud, self.apps, made, ("AcrPull", self.base))
        return TaskId(RegistryId.parse(self.apps.id), name)

    def run(self, task: TaskId) -> str:
        """Run a task to its end; return how it ended."""
        run_id = compose(self.settings).tasks.schedule(task, "dA==")
        assert self.cloud.wait_idle(SECONDS)
        return str(self.apps.runs[run_id].properties["status"])

    def recorded(self, task: TaskId) -> list[str]:
        """Return the images that ACR's scanner has recorded of a task."""
        step = self.apps.tasks[task.name].properties["step"]
        found = step["baseImageDependencies"] or []
        return [f"{d['registry']}/{d['repository']}:{d['tag']}" for d in found]


@pytest.fixture(name="place")
def _place(cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    place = Place(cloud, tmp_path)
    for name, value in place.settings.items():
        monkeypatch.setenv(name, value)
    yield place
    release()


def gaps(capsys: pytest.CaptureFixture[str], code: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Run the command; return the gaps of each task by their codes."""
    assert cli.main(["gaps", "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    return {
        task["task"].rpartition("/")[2]: {gap["code"]: gap for gap in task["gaps"]}
        for task in found
    }


# These need BuildKit, or the scanner names what the classic builder never pulls: without BuildKit
# such a run fails when the agent asks docker for the digests (Azure/acr-builder issue 495).
KIT = frozenset({"arg-twice", "case-of-stage", "heredoc", "run-mount"})
KIT_FILE = """\
steps:
  - build: -t {{.Run.Registry}}/kit:1 .
    env: [DOCKER_BUILDKIT=1]
  - push: ["{{.Run.Registry}}/kit:1"]
"""

# Dockerfile; how its run ends; what the scanner records; the codes of the gaps.
SCANNER: dict[str, tuple[str, str, list[str], set[str]]] = {
    "platform-variable": (
        (
            f"FROM --platform=$BUILDPLATFORM {BASE}/golang:1.22 AS b\nFROM {BASE}/alpine:3\n"
            "COPY --from=b /file /\n"
        ),
        "Failed",
        [],
        {"needs-buildkit", "never-ran", "platform-flag"},
    ),
    "platform-fixed": (
        f"FROM --platform=linux/amd64 {BASE}/alpine:3\n",
        "Failed",
        [],
        {"never-ran", "platform-flag"},
    ),
    "default-in-braces": (
        f"ARG TAG\nFROM {BASE}/alpine:${{TAG:-3}}\n",
        "Failed",
        [],
        {"never-ran", "expansion-form"},
    ),
    "continued": (
        f"FROM \\\n  {BASE}/alpine:3\n",
        "Failed",
        [],
        {"never-ran", "continued-from"},
    ),
    "other-escape": (
        f"# escape=`\nFROM `\n  {BASE}/alpine:3\n",
        "Failed",
        [],
        {"never-ran", "continued-from"},
    ),
    "arg-of-arg": (
        f"ARG R={BASE}\nARG I=$R/alpine:3\nFROM $I\n",
        "Failed",
        [],
        {"never-ran", "argument-of-argument"},
    ),
    "second-arg": (
        f"ARG A=1 B=2\nFROM {BASE}/alpine:$B\n",
        "Failed",
        [],
        {"never-ran", "later-argument"},
    ),
    "arg-twice": (
        f"ARG T=1\nARG T=2\nFROM {BASE}/alpine:$T\n",
        "Succeeded",
        [f"{BASE}/alpine:1"],
        {"first-default-wins"},
    ),
    "arg-of-stage": (
        f"FROM {BASE}/alpine:3 AS a\nARG T=1\nFROM {BASE}/alpine:$T\n",
        "Failed",
        [],
        {"never-ran", "file-refused", "stage-argument"},
    ),
    "case-of-stage": (
        # On Docker Hub there is an image of that name.
        f"FROM {BASE}/alpine:3 AS Node\nFROM node\n",
        "Succeeded",
        ["registry.hub.docker.com/library/node:latest", f"{BASE}/alpine:3"],
        {"case-of-stage", "wrong-kind"},
    ),
    "heredoc": (
        f"FROM {BASE}/alpine:3\nRUN <<EOF\nFROM {BASE}/evil:1\nEOF\n",
        "Succeeded",
        [f"{BASE}/evil:1", f"{BASE}/alpine:3"],
        {"heredoc-line", "wrong-kind"},
    ),
    "copy-from": (
        f"FROM {BASE}/alpine:3\nCOPY --from={BASE}/ext:1 /file /\n",
        "Succeeded",
        [f"{BASE}/alpine:3"],
        {"copy-from"},
    ),
    "run-mount": (
        f"FROM {BASE}/alpine:3\nRUN --mount=type=bind,from={BASE}/ext:1,target=/x true\n",
        "Succeeded",
        [f"{BASE}/alpine:3"],
        {"run-mount"},
    ),
    "syntax-image": (
        f"# syntax=docker/dockerfile:1\nFROM {BASE}/alpine:3\n",
        "Succeeded",
        [f"{BASE}/alpine:3"],
        set(),
    ),
    "unused-stage": (
        f"FROM {BASE}/golang:1.22 AS unused\nFROM {BASE}/alpine:3\n",
        "Succeeded",
        [f"{BASE}/alpine:3", f"{BASE}/golang:1.22"],
        {"unused-stage-run"},
    ),
    "comment": (
        f"FROM {BASE}/alpine:3 # base\n",
        "Failed",
        [],
        {"never-ran", "file-refused", "unknown-form"},
    ),
    "pinned": (
        f"FROM {BASE}/alpine:3@DIGEST\n",
        "Succeeded",
        [f"{BASE}/alpine:3"],
        {"pinned-looks-moving"},
    ),
    "faultless": (f"FROM {BASE}/alpine:3\n", "Succeeded", [f"{BASE}/alpine:3"], set()),
}


def test_every_failure_of_the_scanner_is_found(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each task runs, ACR's scanner records what it records, and the reason is told."""
    service, hub = place.cloud.registry, place.cloud.registry.hub()
    node = service.store.manifest(hub, "library/node", "9-alpine")
    service.put_manifest(hub, "library/node", "latest", node.media_type, node.data, notify=False)
    tasks = {}
    for name, (text, _, _, _) in SCANNER.items():
        files = {"Dockerfile": text.replace("DIGEST", place.digests["alpine:3"])}
        step = {"type": "FileTask", "taskFilePath": "acb.yaml"} if name in KIT else {}
        tasks[name] = place.task(name, {**files, "acb.yaml": KIT_FILE}, **step)
    ended = {name: place.run(task) for name, task in tasks.items()}
    recorded = {name: place.recorded(task) for name, task in tasks.items()}
    doubted = gaps(capsys, 3)
    # Who may read the details of tasks knows that no secret argument decides.
    role, who = "Container Registry Tasks Contributor", place.cloud.function_app.object_id
    place.cloud.roles.assign(role, who, place.apps.id)
    found = gaps(capsys, 3)

    unsure = {name for name in found if set(doubted[name]) != set(found[name])}
    assert unsure == {"arg-of-arg", "default-in-braces", "second-arg"}
    assert [set(doubted[name]) for name in unsure] == [{"never-ran", "not-known"}] * 3
    assert ended == {name: case[1] for name, case in SCANNER.items()}
    assert recorded == {name: case[2] for name, case in SCANNER.items()}
    assert {name: set(of) for name, of in found.items()} == {
        name: case[3] for name, case in SCANNER.items()
    }
    assert found["arg-twice"]["first-default-wins"]["image"] == f"{BASE}/alpine:2"
    assert found["run-mount"]["run-mount"]["line"] == 2
    assert found["heredoc"]["wrong-kind"]["recorded"] == "build-time"


def test_what_the_trigger_never_does_is_found(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands of task files, tasks that never ran, lost records, Runtime triggers, other hosts."""
    text = f"FROM {BASE}/alpine:3\n"
    place.task("never-ran", {"Dockerfile": text})
    yaml = "version: v1.1.0\nsteps:\n  - build: -t $Registry/y:1 .\n  - push: [$Registry/y:1]\n"
    yaml += f"  - cmd: {BASE}/ext:1\n"
    files = {"Dockerfile": text, "acb.yaml": yaml}
    place.task("commands", files, type="FileTask", taskFilePath="acb.yaml")
    lost = place.task("lost-record", {"Dockerfile": text})
    assert place.run(lost) == "Succeeded"
    place.apps.tasks[lost.name].properties["step"]["baseImageDependencies"] = None
    stages = f"FROM {BASE}/golang:1.22 AS b\n{text}COPY --from=b /file /\n"
    runtime = place.task("runtime-only", {"Dockerfile": stages})
    assert place.run(runtime) == "Succeeded"
    settings = place.apps.tasks[runtime.name].properties
    settings["trigger"] = {"baseImageTrigger": {"baseImageTriggerType": "Runtime"}}
    place.task("foreign", {"Dockerfile": "FROM ghcr.io/a/b:1\n"})
    place.task("stranger", {"Dockerfile": text})
    place.apps.tasks["stranger"].properties["credentials"] = None
    changed = place.task("changed", {"Dockerfile": text})
    assert place.run(changed) == "Succeeded"
    place.task("uploaded", {}, contextPath="source/abc.tar.gz")
    images.task(place.apps, "off", [images.dependency(f"{BASE}/alpine:3")], trigger=None)
    place.cloud.map_context(
        "https://github.com/contoso/changed.git",
        _folder(place, "newer", f"FROM {BASE}/alpine:2\n"),
    )
    found = {name: set(of) for name, of in gaps(capsys, 3).items()}

    assert found == {
        "never-ran": {"never-ran"},
        "commands": {"never-ran", "tool"},
        "lost-record": {"record-lost"},
        "runtime-only": {"build-time-not-followed"},
        "foreign": {"never-ran", "foreign-registry"},
        "stranger": {"never-ran", "no-credentials"},
        "changed": {"stale-record", "not-recorded-yet"},
        "uploaded": {"never-ran", "not-compared"},
        "off": {"trigger-off", "no-credentials", "not-compared"},
    }


def _folder(place: Place, name: str, text: str) -> Path:
    folder = place._folder / name
    folder.mkdir()
    (folder / "Dockerfile").write_text(text)
    return folder


def test_a_cloud_without_gaps(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """What ACR knows all of has no gap, and the command says so by its exit code."""
    task = place.task("faultless", {"Dockerfile": f"FROM {BASE}/alpine:3\n"})
    assert place.run(task) == "Succeeded"

    assert gaps(capsys, 0) == {"faultless": {}}


def test_the_output_image_proves_its_base(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """By its layers, once the function app may read the task registry's images."""
    task = place.task("proved", {"Dockerfile": f"FROM {BASE}/alpine:3\nCOPY Dockerfile /\n"})
    assert place.run(task) == "Succeeded"
    assert cli.main(["deps", "--task", "proved"]) == 0
    assert "Output image:\n  not known: read the image myapps.azurecr.io/proved" in (
        capsys.readouterr().out
    )
    place.cloud.roles.assign("AcrPull", place.cloud.function_app.object_id, place.apps.id)
    release()
    assert cli.main(["deps", "--task", "proved"]) == 0
    told = capsys.readouterr().out

    base = f"{BASE}/alpine:3@{place.digests['alpine:3']}"
    assert f"its first layer is that of {base}" in told
    assert f"built on {place.digests['alpine:3']}" in told
    assert "They disagree" not in told


def test_the_graph_goes_across_registries(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """An image that one task builds and another is built on joins them."""
    place.task("middle", {"Dockerfile": f"FROM {BASE}/alpine:3\n"}, imageNames=["middle:1"])
    place.task(
        "leaf-one", {"Dockerfile": "FROM myapps.azurecr.io/middle:1\n"}, imageNames=["leaf:1"]
    )
    assert cli.main(["graph"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        f"{BASE}/alpine:3",
        "└─ myapps/middle (runtime)",
        "   └─ myapps.azurecr.io/middle:1",
        "      └─ myapps/leaf-one (runtime)",
        "         └─ myapps.azurecr.io/leaf:1",
    ]
