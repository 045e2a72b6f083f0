from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rebuilder.core.dockerfile import read_dockerfile
from rebuilder.errors import InvalidBuildFile

_FOLDER = Path(__file__).parent / "dockerfiles"
_PLATFORM = "linux/amd64"
_LEAST = 150


@dataclass(frozen=True, slots=True)
class Case:
    """A Dockerfile and what BuildKit makes of it, worked out by hand from its source.

    Attributes:
        name: The file's name without ending.
        content: The file's bytes.
        build_args: The build arguments given.
        target: The stage to build; None for the last.
        platform: The platform to build for.
        images: Line, kind and reference of every image that is read; None if it is refused.
        final: The runtime image; None if that is scratch.
        error_line: The line that is refused; None where BuildKit tells no line of its own.
        error_part: A part of the reason that any wording has; "" where wordings differ.
    """

    name: str
    content: bytes
    build_args: dict[str, str]
    target: str
    platform: str
    images: list[tuple[int, str, str]] | None
    final: str | None
    error_line: int | None
    error_part: str


def _read(dockerfile: Path) -> Case:
    answer: dict[str, Any] = json.loads(dockerfile.with_suffix(".json").read_text("utf-8"))
    images = answer.get("images")
    error = answer.get("error", {})
    return Case(
        name=dockerfile.stem,
        content=dockerfile.read_bytes(),
        build_args=answer.get("build_args", {}),
        target=answer.get("target", ""),
        platform=answer.get("platform", _PLATFORM),
        images=None if images is None else [(i["line"], i["kind"], i["reference"]) for i in images],
        final=answer.get("final"),
        error_line=error.get("line"),
        error_part=error.get("contains", ""),
    )


_CASES = [
    _read(dockerfile)
    for dockerfile in sorted(_FOLDER.glob("*.Dockerfile"))
    if dockerfile.with_suffix(".json").exists()
]
_READ = [case for case in _CASES if case.images is not None]
_REFUSED = [case for case in _CASES if case.images is None]


def test_every_file_has_its_answer() -> None:
    """Each Dockerfile has one answer beside it, each answer a Dockerfile, and they are many."""
    dockerfiles = {path.stem for path in _FOLDER.glob("*.Dockerfile")}
    answers = {path.stem for path in _FOLDER.glob("*.json")}

    assert dockerfiles == answers
    assert len(dockerfiles) >= _LEAST
    assert {path.suffix for path in _FOLDER.iterdir()} == {".Dockerfile", ".json"}


@pytest.mark.parametrize("answer", sorted(_FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_answers_are_complete(answer: Path) -> None:
    """An answer holds either images and the final one or an error, and names its rule."""
    fields = json.loads(answer.read_text("utf-8"))
    given = {"build_args", "target", "platform"}

    assert set(fields) - given in ({"images", "final", "why"}, {"error", "why"})
    assert fields["why"]
    if "images" in fields:
        runtime = [i["reference"] for i in fields["images"] if i["kind"] == "runtime"]
        assert runtime == ([fields["final"]] if fields["final"] else [])


@pytest.mark.parametrize("case", _READ, ids=lambda case: case.name)
def test_reads_as_buildkit(case: Case) -> None:
    """Every image that the build reads is found, with kind and line, and none besides."""
    result = read_dockerfile(
        case.content, build_args=case.build_args, target=case.target, platform=case.platform
    )

    found = [(use.line, str(use.kind), str(use.reference)) for use in result.images]
    lines = [line for line, _, _ in found]
    assert sorted(found) == sorted(case.images or [])
    assert lines == sorted(lines)
    assert (None if result.final is None else str(result.final)) == case.final


@pytest.mark.parametrize("case", _REFUSED, ids=lambda case: case.name)
def test_refuses_as_buildkit(case: Case) -> None:
    """What BuildKit refuses is refused, at its line and for its reason."""
    with pytest.raises(InvalidBuildFile) as caught:
        read_dockerfile(
            case.content, build_args=case.build_args, target=case.target, platform=case.platform
        )

    assert case.error_line in (None, caught.value.line)
    assert case.error_part.lower() in caught.value.problem.lower()
