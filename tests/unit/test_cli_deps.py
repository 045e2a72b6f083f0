from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rebuilder import cli

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

    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("unknown: line 1: # syntax=reg.io/front:1: only the frontend")


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
        "import sys; from rebuilder import cli; cli.main(['deps', sys.argv[1]]);"
        "print([m for m in sys.modules if m.split('.')[0] in ('azure', 'requests')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, file], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"
