"""What a builder is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

type Log = Callable[[str], None]


class BuildError(Exception):
    """The build failed; the message is the last line of the run's log."""


@dataclass(frozen=True, slots=True)
class Build:
    """A Dockerfile to build.

    Attributes:
        context: The folder.
        dockerfile: The Dockerfile.
        images: The full names that the image gets.
        arguments: Build arguments.
        target: The stage to build; empty for the last.
    """

    context: Path
    dockerfile: Path
    images: tuple[str, ...]
    arguments: Mapping[str, str]
    target: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """An image to run.

    Attributes:
        image: Its full name.
        arguments: What replaces the image's own command; empty to keep it.
        entry_point: What replaces the image's own entry point; empty to keep it.
        environment: More variables.
        folder: The folder that the container sees as /workspace.
        directory: Where it starts; empty for where the image says.
    """

    image: str
    arguments: tuple[str, ...]
    entry_point: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    directory: str


class Session(Protocol):
    """One run's builds: what a step builds, a later one may run or push."""

    def build(self, build: Build) -> None:
        """Build an image and keep it under its names.

        Raises:
            BuildError: It failed.
        """

    def run(self, command: Command) -> None:
        """Run an image, its own or one to pull, and wait for its end.

        Raises:
            BuildError: It failed, or the builder runs nothing.
        """

    def push(self, image: str) -> str:
        """Push an image; return its digest.

        Raises:
            BuildError: It failed.
        """

    def interrupt(self) -> None:
        """End what goes on now; from any thread."""

    def stop(self) -> None:
        """End what goes on, and do nothing more; from any thread."""


class Builder(Protocol):
    """Opens sessions."""

    def open(self, work: Path, credentials: Mapping[str, tuple[str, str]], log: Log) -> Session:
        """Return a session.

        Args:
            work: A folder for the builder's own files, empty at first.
            credentials: User and password by registry host.
            log: Told of every line that a step prints.
        """
