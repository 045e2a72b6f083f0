"""What is told beside the reason for which BuildKit refuses a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rebuilder.errors import ArgumentMissing, InvalidBuildFile


class Note(NamedTuple):
    """What is told beside the reason for which BuildKit refuses a line.

    Attributes:
        text: What is told.
        missing: The build arguments that would settle it.
    """

    text: str
    missing: tuple[str, ...] = ()


def refusal(line: int, problem: str, note: Note | None) -> InvalidBuildFile:
    """The error of a line, with what is told beside the reason."""
    if note is None:
        return InvalidBuildFile(line, problem)
    problem = f"{problem}; {note.text}"
    if note.missing:
        return ArgumentMissing(line, problem, note.missing)
    return InvalidBuildFile(line, problem)


def missing_arguments(reasons: Mapping[str, str]) -> Note:
    """What is told of ARGs that have no value, or an empty one, each with the reason."""
    told = ", ".join(f"ARG {name} {reason}" for name, reason in reasons.items())
    settles = " ".join(f"--build-arg {name}=..." for name in reasons)
    return Note(f"{told}: {settles} would settle it", tuple(reasons))
