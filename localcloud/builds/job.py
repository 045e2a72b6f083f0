"""What a builder is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

type Log = Callable[[str], None]


class BuildError(Exception):
    """The build failed; the message is the last line of the run's log."""


@dataclass(frozen=True, slots=True)
class Job:
    """A Dockerfile to build and push.

    Attributes:
        context: The folder.
        dockerfile: The Dockerfile, relative to the folder.
        images: The full names to push to.
        arguments: Build arguments.
        target: The stage to build; empty for the last.
        push: Whether to push.
        credentials: User and password by registry host.
        work: A folder for the builder's own files, empty at first.
    """

    context: Path
    dockerfile: str
    images: tuple[str, ...]
    arguments: Mapping[str, str]
    target: str
    push: bool
    work: Path
    credentials: Mapping[str, tuple[str, str]] = field(repr=False)


class Builder(Protocol):
    """Builds and pushes."""

    def build(self, job: Job, log: Log) -> dict[str, str]:
        """Return the digest of each image that was pushed.

        Raises:
            BuildError: It failed.
        """

    def stop(self) -> None:
        """End what still builds."""
