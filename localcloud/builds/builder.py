"""What a builder is, and what it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from localcloud.builds.build import Build
from localcloud.builds.dockerfiles import Plan
from localcloud.builds.images import Image
from localcloud.builds.job import Log


@dataclass(frozen=True, slots=True)
class Command:
    """An image to run.

    Attributes:
        name: What it is called.
        image: The image.
        arguments: What replaces the image's own command; empty to keep it.
        entry_point: What replaces the image's own entry point; empty to keep it.
        environment: More variables.
        folder: The folder that the container sees as /workspace.
        directory: Where it starts; empty for where the image says.
    """

    name: str
    image: Image
    arguments: tuple[str, ...]
    entry_point: str
    environment: Mapping[str, str]
    folder: Path
    directory: str


class Session(Protocol):
    """The builder of one run: what it builds is kept, to be built on and run."""

    def build(self, build: Build, plan: Plan, images: Mapping[tuple[str, str], Image]) -> Image:
        """Build an image.

        Args:
            build: What is asked for.
            plan: The stages of the Dockerfile, and which of them are to be built.
            images: What the stages read, by reference and platform.

        Raises:
            BuildError: It failed.
        """

    def check_runs(self, name: str) -> None:
        """Refuse to run an image, if the builder runs none.

        Raises:
            BuildError: It runs nothing.
        """

    def run(self, command: Command) -> None:
        """Run an image and wait for its end.

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
            credentials: User and password by registry host; more may come while the run goes on.
            log: Told of every line that a step prints.
        """
