"""docs/dependencies.md says what is so: each of its examples is carried out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.taskfile.reading import read, told

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "dependencies.md"
TEXT = PAGE.read_text(encoding="utf-8")
_CELL = re.compile(r"(?<!\\)\|")
_SPAN = re.compile(r"(pushes |unknown |)`([^`]*)`")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table whose head is given, without the head."""
    table = TEXT.partition(f"\n{heading}\n")[2].partition("\n\n")[0]
    return [
        [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]]
        for line in table.splitlines()[1:]
    ]


FILES = {name.strip("`"): content.strip("`") + "\n" for name, content in rows("| File | Content |")}
EXAMPLES = rows("| Steps | What is told |")
SESSIONS = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)


def test_there_are_examples() -> None:
    """A table that is not found would pass by itself."""
    assert (len(FILES), len(EXAMPLES), len(SESSIONS)) == (3, 22, 2)


@pytest.mark.parametrize(("steps", "answer"), EXAMPLES)
def test_an_example_of_steps(steps: str, answer: str) -> None:
    """It reads, pushes and does not know exactly what the page says; tools of aliases aside."""
    lines = "".join(f"- {span}\n" for _, span in _SPAN.findall(steps))
    found = read(f"version: v1.1.0\nsteps:\n{lines}", FILES)

    said = _SPAN.findall(answer)
    assert bool(said) is not (answer == "nothing")
    reads = sorted(f"{use.reference} {use.kind}" for use in found.images)
    assert reads == sorted(text for kind, text in said if not kind)
    assert sorted(found.pushes) == sorted(text for kind, text in said if kind == "pushes ")
    unknown = [text for kind, text in said if kind == "unknown "]
    assert any(not missed.tool for missed in found.unknown) is bool(unknown)
    assert [text for text in unknown if text not in told(found)] == []


@pytest.mark.parametrize("session", SESSIONS)
def test_an_example_of_commands(session: str, tmp_path: Path) -> None:
    """The command prints what the page shows."""
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    before, *blocks = re.split(r"^\$ ", session, flags=re.MULTILINE)
    assert not before
    for block in blocks:
        command, _, expected = block.partition("\n")
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=tmp_path,
            env={"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        printed = [line.rstrip() for line in done.stdout.splitlines()]
        assert printed == expected.splitlines(), command
