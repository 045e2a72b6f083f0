"""Programs that buildah runs in images: what they print, how they end."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Protocol

import pytest

from localcloud.builds.build import Build
from localcloud.builds.buildah import BuildahBuilder
from localcloud.builds.builder import Command
from localcloud.builds.dockerfiles import plan
from localcloud.builds.hub import static_busybox
from localcloud.builds.job import BuildError, Log
from localcloud.network import Network
from tests.patience import until

pytestmark = pytest.mark.needs("buildah", "busybox")


class Runs(Protocol):
    """Runs a command."""

    def __call__(self, log: Log, text: str, *, shell: bool = True) -> None:
        """Run it."""


@pytest.fixture(name="runs")
def _runs(tmp_path: Path) -> Runs:
    """Runs a command of the shell in an image that holds a shell, and nothing else."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").write_bytes(static_busybox() or b"")
    (tmp_path / "bin" / "sh").chmod(0o755)
    (tmp_path / "Dockerfile").write_text(
        "FROM scratch\nCOPY bin /bin\nENV PATH=/bin A=b found=f program=p status=s\n"
    )
    (tmp_path / "work").mkdir()
    (tmp_path / "workspace").mkdir()

    def run(log: Log, text: str, *, shell: bool = True) -> None:
        session = BuildahBuilder(Network(tmp_path)).open(tmp_path / "work", {}, log)
        build = Build(tmp_path, tmp_path / "Dockerfile")
        image = session.build(build, plan(build), {})
        arguments = ("sh", "-c", text) if shell else (text,)
        session.run(Command("x", image, arguments, "", {}, tmp_path / "workspace", ""))

    return run


def test_no_output_is_lost_of_a_program_that_ends(runs: Runs, tmp_path: Path) -> None:
    """Who reads its output may be far behind when it ends."""
    lines: list[str] = []
    over = Event()

    def slowly(line: str) -> None:
        if line == "1":
            until((tmp_path / "workspace" / "over").exists)
            assert not over.wait(0.5)  # whoever does not wait for the reader ends meanwhile
        lines.append(line)

    runs(slowly, "seq 1 21000; touch /workspace/over")
    assert lines[lines.index("1") :] == [*map(str, range(1, 21001))]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "env | grep -vi -e ^ho -e proxy | sort",
            ["A=b", "PATH=/bin", "PWD=/", "SHLVL=1", "found=f", "program=p", "status=s"],
        ),
        ("printf unfinished", ["unfinished"]),
        ("echo; echo after an empty line", ["", "after an empty line"]),
        ("echo failed >&2", ["failed"]),
    ],
)
def test_what_a_program_sees_and_prints(runs: Runs, text: str, told: list[str]) -> None:
    """Nothing of how it is run; the shell itself counts levels and says where it is."""
    lines: list[str] = []
    runs(lines.append, text)
    assert lines[len(lines) - len(told) :] == told
    assert not any("[over" in line for line in lines)


def test_a_program_that_is_not_there(runs: Runs) -> None:
    """Not even if whoever runs it has one of that name."""
    lines: list[str] = []
    with pytest.raises(BuildError, match="127"):
        runs(lines.append, "wc", shell=False)
    assert "executable file not found in $PATH: wc" in lines


def test_a_program_that_fails(runs: Runs) -> None:
    """What it said stands before how it ended."""
    lines: list[str] = []
    with pytest.raises(BuildError, match="3"):
        runs(lines.append, "echo no such thing; exit 3")
    assert "no such thing" in lines
