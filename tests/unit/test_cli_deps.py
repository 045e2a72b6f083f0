from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rebuilder.cli import main as cli

TEXT = """# syntax=docker/dockerfile:1
ARG T=3
FROM golang:1.22 AS build
FROM alpine:${T}
COPY --from=build /a /a
"""


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> str:
    path = tmp_path / "Dockerfile"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def test_deps_prints_a_table(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One row per image: its full name, its kind, its line, and the way to it."""
    assert cli.main(["deps", file]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "REFERENCE                      KIND        LINE  WAY",
        "---------                      ----        ----  ---",
        "docker.io/docker/dockerfile:1  frontend    1     # syntax=docker/dockerfile:1",
        "docker.io/library/golang:1.22  build-time  3     FROM golang:1.22",
        "docker.io/library/alpine:3     runtime     4     FROM alpine:${T}; T=3 from ARG on line 2",
    ]


def test_deps_prints_json(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the same is JSON, with the base of the image that is built."""
    assert cli.main(["deps", "--json", "--build-arg", "T=4", file]) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["images"][2] == {
        "reference": "docker.io/library/alpine:4",
        "kind": "runtime",
        "line": 4,
        "way": ["FROM alpine:${T}", "T=4 from --build-arg"],
    }
    assert found["final"] == "docker.io/library/alpine:4"
    assert found["unknown"] == []


def test_deps_takes_a_target_and_a_platform(capsys: pytest.CaptureFixture[str]) -> None:
    """--target and --platform mean what they mean to docker build; - is standard input."""
    text = b"FROM scratch AS Base\nFROM base AS x\nCOPY --from=a / /\nFROM b:$TARGETARCH\n"
    answers = []
    for arguments in (["--target", "X"], ["--platform", "linux/arm64"]):
        stdin = io.TextIOWrapper(io.BytesIO(text))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", stdin)
            assert cli.main(["deps", "-", "--json", *arguments]) == 0
        answers.append(json.loads(capsys.readouterr().out))

    assert [answer["final"] for answer in answers] == [None, "docker.io/library/b:arm64"]
    assert [len(answer["images"]) for answer in answers] == [1, 1]


def test_deps_takes_build_arguments_from_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build argument without a value is the environment's; if it has none, there is none."""
    path = tmp_path / "Dockerfile"
    path.write_text("ARG A=1\nARG B=2\nARG C=3\nFROM x:$A$B$C\n", encoding="utf-8")
    monkeypatch.setenv("A", "7")
    monkeypatch.delenv("B", raising=False)
    arguments = ["--build-arg", "A", "--build-arg", "B=9", "--build-arg", "B"]

    assert cli.main(["deps", "--json", *arguments, "--build-arg", "C=", str(path)]) == 0

    assert json.loads(capsys.readouterr().out)["final"] == "docker.io/library/x:72"


def test_deps_tells_what_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What only a frontend knows is told, with the line."""
    path = tmp_path / "file"
    path.write_text("# syntax=reg.io/front:1\nimage: x\n", encoding="utf-8")

    assert cli.main(["deps", str(path)]) == 0

    told, last = capsys.readouterr().out.splitlines()[-2:]
    assert told.startswith("unknown: line 1: # syntax=reg.io/front:1: only the frontend")
    assert last == "needs BuildKit: line 1: # syntax=reg.io/front:1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM a\nBOGUS\n", ":2: unknown instruction: BOGUS"),
        ("", ": the Dockerfile cannot be empty"),
    ],
)
def test_deps_tells_where_a_file_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    """A refusal is one line on standard error, FILE:LINE: reason, and the exit code is 1."""
    path = tmp_path / "Dockerfile"
    path.write_text(text, encoding="utf-8")

    assert cli.main(["deps", str(path)]) == 1

    out, err = capsys.readouterr()
    assert (out, err) == ("", f"{path}{message}\n")


def test_deps_tells_when_there_is_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be read is an error with its name."""
    assert cli.main(["deps", str(tmp_path / "none")]) == 1

    assert "none cannot be read: No such file" in capsys.readouterr().err


def test_deps_imports_nothing_of_azure(file: str) -> None:
    """The command works on any file, at once: it loads no Azure package, and no HTTP client."""
    script = (
        "import sys; from rebuilder.cli.main import main; main(['deps', sys.argv[1]]);"
        "print([m for m in sys.modules if m.split('.')[0] in ('azure', 'requests')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, file], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"


# Task files.

TASK = """version: v1.1.0
steps:
  - id: web
    build: -t $Registry/web:{{.Values.tag}} -f web/Dockerfile .
  - cmd: mybase.azurecr.io/tool:1 test
  - push: [$Registry/web:{{.Values.tag}}]
"""
WEB = (
    "FROM golang:1 AS unused\nFROM mybase.azurecr.io/node:18\nRUN --mount=type=cache,target=/c x\n"
)


@pytest.fixture(name="task")
def _task(tmp_path: Path) -> str:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "Dockerfile").write_text(WEB, encoding="utf-8")
    path = tmp_path / "acr-task.yaml"
    path.write_text(TASK, encoding="utf-8")
    return str(path)


def deps(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run the command; return what it printed, or what it said of an error."""
    assert cli.main(["deps", *arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_a_task_file_is_read_offline(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its images, what it pushes, and each step with its builder; Dockerfiles from its folder."""
    out = deps(capsys, task, "--registry", "reg.azurecr.io", "--set", "tag=1").splitlines()

    assert [line.split()[:3] for line in out[2:4]] == [
        ["mybase.azurecr.io/node:18", "runtime", "3"],
        ["mybase.azurecr.io/tool:1", "tool", "5"],
    ]
    assert out[4] == "pushes reg.azurecr.io/web:1"
    assert "line 3: build: builds web/Dockerfile with the classic builder" in out
    assert "line 5: cmd: runs mybase.azurecr.io/tool:1" in out
    assert "line 6: push: pushes reg.azurecr.io/web:1" in out


def test_a_task_file_as_json(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same, for programs."""
    record = json.loads(
        deps(capsys, task, "--json", "--registry", "Reg.azurecr.io", "--set", "tag=1")
    )

    assert [(i["reference"], i["kind"]) for i in record["images"]] == [
        ("mybase.azurecr.io/node:18", "runtime"),
        ("mybase.azurecr.io/tool:1", "tool"),
    ]
    assert record["pushes"] == ["reg.azurecr.io/web:1"]
    assert record["final"] == "mybase.azurecr.io/node:18"
    assert (record["unknown"], record["missingValues"]) == ([], [])
    web, tool, push = record["steps"]
    assert (web["id"], web["line"], web["kind"], web["builder"]) == ("web", 3, "build", "classic")
    assert web["builds"][0]["dockerfile"] == "web/Dockerfile"
    assert web["builds"][0]["pushed"] is True
    assert (tool["builder"], tool["tools"]) == (None, ["mybase.azurecr.io/tool:1"])
    assert push["pushes"] == ["reg.azurecr.io/web:1"]


def test_a_value_that_is_not_given_is_the_first_word(
    task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before everything that follows from it; the exit code is that of an answer."""
    out = deps(capsys, task, "--registry", "reg.azurecr.io").splitlines()

    assert out[0].startswith("unknown: line 3: {{.Values.tag}}: value tag is given by no `--set`")
    assert "pushes no image that is known" in out


def test_values_and_contexts_may_be_elsewhere(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--values, --context, and standard input."""
    values = tmp_path / "values.yaml"
    values.write_text("tag: 7\n", encoding="utf-8")
    other = tmp_path / "other"
    (other / "web").mkdir(parents=True)
    (other / "web" / "Dockerfile").write_text("FROM alpine:3\n", encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TASK.encode())))
    arguments = ["--json", "--registry", "r.io", "--values", str(values), "--context", str(other)]
    record = json.loads(deps(capsys, "-", *arguments))

    assert record["pushes"] == ["r.io/web:7"]
    assert record["final"] == "docker.io/library/alpine:3"
    assert "cannot be read" in deps(capsys, task, "--values", str(tmp_path / "none"), code=1)


def test_what_is_not_in_the_folder_is_unknown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A file that is not there, a folder in its place, and an address, which is not asked."""
    (tmp_path / "folder").mkdir()
    path = tmp_path / "x.yml"
    path.write_text(
        "steps:\n- build: -f none .\n- build: -f folder .\n- build: https://x/y.git\n",
        encoding="utf-8",
    )
    record = json.loads(deps(capsys, str(path), "--json"))

    assert [missed["reason"] for missed in record["unknown"]] == [
        "none cannot be read: No such file or directory",
        "folder cannot be read: it is no file",
        "https://x/y.git is not read: this command asks no network",
    ]


def test_a_task_file_that_the_agent_refuses(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """FILE:LINE: reason, and exit code 1; a program is told the same in JSON."""
    path = tmp_path / "acb.yaml"
    path.write_text("\nversion: v1.0\nsteps: []\n", encoding="utf-8")

    assert deps(capsys, str(path), code=1) == f'{path}:2: invalid version specified: "v1.0"\n'
    assert cli.main(["deps", "--json", str(path)]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["unknown"] == [
        {"text": "the task file", "line": 2, "reason": 'invalid version specified: "v1.0"'}
    ]
    assert "--set x: expected a key=val format" in deps(capsys, str(path), "--set", "x", code=1)


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("acb.yaml", "FROM x", "task-file"),
        ("x.yml", "", "task-file"),
        ("Dockerfile", "steps:", "dockerfile"),
        ("app.Dockerfile", "steps:", "dockerfile"),
        ("Containerfile", "steps:", "dockerfile"),
        ("file", "steps:\n- cmd: |\n    FROM x\n", "task-file"),
        ("file", "FROM x\nRUN <<E\nsteps:\nE\n", "dockerfile"),
        ("file", "nothing of either", "dockerfile"),
    ],
)
def test_a_form_is_told_by_name_then_by_content(
    name: str, text: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What belongs to the other form is wrong usage, and says how to tell otherwise."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    other = "--set" if form == "dockerfile" else "--build-arg"
    said = deps(capsys, str(path), other, "A=b", code=2)

    assert f"{other}: not for a {form}; --as" in said
    cli.main(["deps", str(path), "--as", "task-file", "--set", "A=b"])


def test_a_build_that_fails_on_its_step_is_warned_of(
    task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file needs BuildKit, and the step gets the classic builder, which runs every stage."""
    out = deps(capsys, task, "--set", "tag=1")

    assert "pushes {{.Run.Registry}}/web:1" in out.splitlines()
    assert "warning: web/Dockerfile needs BuildKit (line 3: " in out
    assert (
        "web/Dockerfile, line 1: docker.io/library/golang:1 is not needed, and the classic builder"
        " pulls it"
    ) in out


def test_what_is_no_file_is_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    """A device would never end."""
    assert "/dev/zero cannot be read: it is no file" in deps(capsys, "/dev/zero", code=1)
    assert "cannot be read" in deps(capsys, "a\0b", code=1)
