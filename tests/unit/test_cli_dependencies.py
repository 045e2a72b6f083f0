"""The commands about what tasks are built on."""

from __future__ import annotations

import json
from copy import replace
from pathlib import Path

import pytest

from rebuilder import composition
from rebuilder.cli import main as cli
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import DockerStep, RunStatus
from rebuilder.core.dependencies.evidence import ImageContent
from rebuilder.errors import Denied, TransientError
from tests.unit.fakes import APPS, NEW, NODE, OLD, OTHERS, World, dependency, run, task

CONTEXT = "https://github.com/contoso/app.git"
OUTPUT = f"myapps.azurecr.io/app:ca1@{NEW}"


@pytest.fixture(name="world")
def _world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two registries; a task whose Dockerfile reads more than ACR has recorded."""
    world = World(tmp_path)
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    world.sources.files = {
        (CONTEXT, "Dockerfile"): (
            f"FROM {NODE}\nCOPY --from=mybase.azurecr.io/tool:1 / /\n".encode()
        )
    }
    step = DockerStep(CONTEXT, "Dockerfile", images=("app:{{.Run.ID}}",))
    world.tasks.add(replace(task(), step=step, native_trigger=True))
    world.tasks.found_runs["ca1"] = run("ca1", status=RunStatus.SUCCEEDED, output_images=(OUTPUT,))
    return world


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run the command; return what it printed."""
    assert cli.main(list(arguments)) == code
    captured = capsys.readouterr()
    return captured.out if code != 1 else captured.err


def test_deps_of_a_task_names_every_source(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """The joined view comes first, then each source's say, then the disagreements."""
    world.images.contents[f"myapps.azurecr.io/app:{NEW}"] = ImageContent(NEW, NEW, NODE, OLD)

    assert answer(capsys, "deps", "--task", "build-app").splitlines() == [
        "myapps/build-app",
        f"  {NODE}  runtime",
        f"      built on {OLD}",
        (
            f"      known from build file Dockerfile, line 1: FROM {NODE}; ACR's record; output"
            " image myapps.azurecr.io/app:ca1: its annotation org.opencontainers.image.base.name"
        ),
        "  mybase.azurecr.io/tool:1  build-time",
        ("      known from build file Dockerfile, line 2: COPY --from=mybase.azurecr.io/tool:1"),
        "",
        "Makes (its steps push it):",
        "  myapps.azurecr.io/app:{{.Run.ID}}",
        "",
        "ACR's record:",
        f"  {NODE}  runtime",
        "",
        "Build file at c0ffee:",
        f"  {NODE}  runtime (Dockerfile, line 1: FROM {NODE})",
        (
            "  mybase.azurecr.io/tool:1  build-time (Dockerfile, line 2: COPY"
            " --from=mybase.azurecr.io/tool:1)"
        ),
        "",
        f"Output image at {NEW}:",
        (
            f"  {NODE}  runtime (myapps.azurecr.io/app:ca1: its annotation"
            " org.opencontainers.image.base.name)"
        ),
        "",
        "They disagree:",
        (
            "  the build file names mybase.azurecr.io/tool:1 (build-time; Dockerfile, line 2: COPY"
            " --from=mybase.azurecr.io/tool:1); ACR's record does not"
        ),
    ]


def test_deps_of_a_task_that_nothing_is_known_of(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each source that says nothing says why; one that says there is no image says that."""
    world.tasks.found_runs = {}
    world.sources.files[CONTEXT, "scratch"] = b"FROM scratch\n"
    bare = replace(task(), step=DockerStep(CONTEXT, "scratch", images=("bare:1",)), dependencies=())
    world.tasks.add(bare)

    assert answer(capsys, "deps", "--task", "build-app").splitlines() == [
        "myapps/build-app",
        "  no image is known",
        "",
        "Makes (its steps push it):",
        "  myapps.azurecr.io/bare:1",
        "",
        "ACR's record:",
        "  not known: ACR has recorded nothing",
        "",
        "Build file at c0ffee: no image",
        "",
        "Output image:",
        "  not known: no successful run is known",
    ]


@pytest.mark.usefixtures("world")
def test_deps_of_a_task_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON holds the same, with each source apart."""
    record = json.loads(answer(capsys, "deps", "--task", "MyApps/build-app", "--json"))

    assert record["task"] == f"{APPS}/tasks/build-app"
    assert record["dependencies"][0] == {
        "reference": NODE,
        "kind": "runtime",
        "builtOn": OLD,
        "knownFrom": f"build file Dockerfile, line 1: FROM {NODE}; ACR's record",
        "quarantined": None,
    }
    assert [e["source"] for e in record["evidence"]] == [
        "ACR's record",
        "build file",
        "output image",
    ]
    assert record["evidence"][1]["images"][1]["where"].startswith("Dockerfile, line 2: COPY")
    assert record["evidence"][2]["problem"].startswith("myapps.azurecr.io/app:ca1 is gone")
    assert len(record["disagreements"]) == 1


def test_a_task_is_named_in_any_way(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """By its id; by its name alone only while that is unique; a wrong name says what is known."""
    same = replace(task(), id=TaskId(OTHERS, "build-app"))
    world.tasks.add(same)

    assert answer(capsys, "deps", "--task", str(same.id)).startswith("theirapps/build-app")
    assert answer(capsys, "deps", "--task", "theirapps/build-app").startswith("theirapps/")
    assert "write one of myapps/build-app, theirapps/build-app" in answer(
        capsys, "deps", "--task", "build-app", code=1
    )
    assert "there is no task none in myapps, theirapps" in answer(
        capsys, "deps", "--task", "none", code=1
    )
    assert "is none of the registries" in answer(capsys, "deps", "--task", "x/app", code=1)
    assert "is no name of a task" in answer(capsys, "deps", "--task", "a b", code=1)
    assert "is not a task's resource id" in answer(capsys, "deps", "--task", "/a", code=1)


def test_deps_needs_a_file_or_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    """One of them, and not both."""
    for arguments in (["deps"], ["deps", "Dockerfile", "--task", "app"]):
        with pytest.raises(SystemExit, match="2"):
            cli.main(arguments)
        assert "--task" in capsys.readouterr().err


def test_gaps_are_told_and_counted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Each gap has its code and its reason; remarks are no gaps; the exit code is for CI."""
    other = task("other", dependency("docker.io/library/alpine:3"))
    world.tasks.add(replace(other, step=None))

    assert answer(capsys, "gaps", code=3).splitlines() == [
        "myapps/build-app",
        (
            "  copy-from: Dockerfile, line 2: ACR's scanner does not look at COPY --from, so"
            " mybase.azurecr.io/tool:1 is not recorded"
        ),
        "",
        "myapps/other",
        (
            "  trigger-off (a remark): its own base image trigger is off, so ACR itself rebuilds"
            " it for no image"
        ),
        (
            "  not-compared (a remark): not compared with the build file: the task's step is of a"
            " kind that is not known"
        ),
        "",
        "1 gap(s) in 1 of 2 task(s).",
        "Of 1 task(s) not everything could be compared; the remarks tell why.",
    ]


def test_without_gaps_the_exit_code_is_0(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A task that ACR knows all of, and a system task, which builds nothing."""
    world.sources.files[CONTEXT, "Dockerfile"] = f"FROM {NODE}\n".encode()
    world.tasks.add(replace(task("quick"), has_step=False))

    assert answer(capsys, "gaps") == "0 gap(s) in 0 of 1 task(s).\n"
    assert json.loads(answer(capsys, "gaps", "--json")) == [
        {"task": f"{APPS}/tasks/build-app", "gaps": []}
    ]


@pytest.mark.usefixtures("world")
def test_gaps_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Every task with its gaps, and the same exit code."""
    (record,) = json.loads(answer(capsys, "gaps", "--json", "--registry", "myapps", code=3))

    assert record["task"] == f"{APPS}/tasks/build-app"
    assert record["gaps"][0]["code"] == "copy-from"
    assert answer(capsys, "gaps", "--registry", "theirapps") == "0 gap(s) in 0 of 0 task(s).\n"


def test_a_registry_that_may_not_be_read_is_an_error(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody takes a missing role for a registry without gaps."""
    world.tasks.failures["tasks of theirapps"] = [Denied("no role")]

    assert answer(capsys, "gaps", code=1) == "rebuilder: no role\n"


@pytest.mark.parametrize("command", ["gaps", "graph"])
def test_a_registry_that_is_gone_meanwhile_is_an_error(
    world: World, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """What stops the reading of one task stops the command: nothing is left out unsaid."""
    world.tasks.failures["registry"] = [TransientError("ARM does not answer")]

    assert answer(capsys, command, code=1) == "rebuilder: ARM does not answer\n"


def test_never_ran_and_no_credentials_are_gaps(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task whose base registry it cannot sign in to has no run to learn from."""
    world.tasks.found_runs = {}
    step = DockerStep(CONTEXT, "Dockerfile", images=("app:1",))
    world.tasks.add(replace(task(), step=step, dependencies=(), native_trigger=True))
    (record,) = json.loads(answer(capsys, "gaps", "--json", code=3))

    assert [gap["code"] for gap in record["gaps"]] == ["never-ran", "copy-from", "no-credentials"]


@pytest.mark.usefixtures("world")
def test_graph_in_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    """Text unless told otherwise."""
    assert answer(capsys, "graph").splitlines() == [
        NODE,
        "└─ myapps/build-app (runtime)",
        "   └─ myapps.azurecr.io/app:{{.Run.ID}}",
        "mybase.azurecr.io/tool:1",
        "└─ myapps/build-app (build-time) (see above)",
    ]
    assert answer(capsys, "graph", "--format", "dot").startswith("digraph rebuilder {")
    assert answer(capsys, "graph", "--format", "mermaid").startswith("flowchart LR")
    record = json.loads(answer(capsys, "graph", "--format", "json", "--registry", "myapps"))
    assert record["tasks"] == [f"{APPS}/tasks/build-app"]
