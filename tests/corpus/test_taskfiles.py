"""Task files with their answers, worked out from the agent's own source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rebuilder.core.dependencies.effects import Effects
from rebuilder.core.taskfile import RunContext, read_task_file
from rebuilder.errors import InvalidBuildFile, SourceUnavailable

_FOLDER = Path(__file__).parent / "taskfiles"
_RUN = RunContext("reg.azurecr.io", "", "linux", "amd64")


def _cases() -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in sorted(_FOLDER.glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]


CASES = _cases()


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_task_file_is_read_as_the_agent_reads_it(case: dict[str, Any]) -> None:
    """What it reads, what it pushes, and whether something is told as unknown."""
    files = case.get("files", {})

    def read(context: str, path: str) -> bytes:
        content = files.get(path)
        if content is None and not context and path.rpartition("/")[2] == "Dockerfile":
            content = case.get("dockerfile")
        if content is None or context:
            raise SourceUnavailable(f"there is no file {path}")
        return str(content).encode()

    try:
        found = read_task_file(
            case["yaml"].encode(),
            read,
            values=case.get("values"),
            values_content=case.get("values_file", "").encode(),
            run=_RUN,
        )
    except InvalidBuildFile:
        found, told = Effects(), True
    else:
        told = bool(found.unknown)
    either = "either is right" in case.get("note", "")
    if told and either:
        return  # being told is as right as the answer
    assert sorted(f"{use.reference} {use.kind}" for use in found.images) == sorted(
        case["expected_reads"]
    )
    assert sorted(found.pushes) == sorted(case["expected_pushes"])
    unused = {str(use.reference) for build in found.builds for use in build.unused}
    assert sorted(unused) == case.get("expected_unused", sorted(unused))
    # Being told is enough where it is expected; what is read after all is better.
    read_after_all = bool(found.images or found.pushes)
    assert told or case["expect_told_unknown"] is False or read_after_all or either
    assert not told or case["expect_told_unknown"] is not False


def test_there_are_enough() -> None:
    """A table that was lost would pass by itself."""
    assert len(CASES) >= 26 + 700
