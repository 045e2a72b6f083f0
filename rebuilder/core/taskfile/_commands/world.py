"""Where a command runs, and what it may do to images and files."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

from rebuilder.core.dependencies.contexts import file_path
from rebuilder.core.dependencies.effects import Builder
from rebuilder.core.taskfile._steps import Build
from rebuilder.core.taskfile._text import Unknowns
from rebuilder.errors import SourceUnavailable


class Rewritten(SourceUnavailable):
    """A file of the context may have been written by an earlier step."""


WORKSPACE = "/workspace"
_WINDOWS = "c:/workspace"

DEPTH = 5
"""How many shells and containers may stand inside each other in one command."""


class Place(Struct, frozen=True):
    """Where a command runs.

    Attributes:
        line: The line of its step.
        folder: The folder that it begins in, in the container; None if that is not known.
        variables: The variables that are known to be set.
        windows: Whether paths and shells are those of Windows.
        depth: How many shells and containers it is inside of.
        agent: Whether it runs on the agent itself, whose variables are not known.
        daemon: Whether it reaches the agent's docker; None if that is not known.
    """

    line: int
    folder: str | None = WORKSPACE
    variables: Mapping[str, str] = field(default_factory=dict)
    windows: bool = False
    depth: int = 0
    agent: bool = False
    daemon: bool | None = True

    def path(self, path: str) -> str:
        """Return a path of the container from the root of the task's context.

        Raises:
            SourceUnavailable: It is not inside of the context, or not known.
        """
        clean = path.replace("\\", "/") if self.windows else path
        drive = self.windows and clean.lower().startswith("c:/")
        if not drive and not clean.startswith("/") and self.folder is None:
            raise SourceUnavailable("the step begins in its image's own folder")
        whole = posixpath.normpath(clean if drive else posixpath.join(self.folder or "", clean))
        for root in (WORKSPACE, _WINDOWS) if self.windows else (WORKSPACE,):
            if whole.lower() == root if self.windows else whole == root:
                return "."
            if (whole.lower() if self.windows else whole).startswith(f"{root}/"):
                return file_path("", whole[len(root) + 1 :])
        raise SourceUnavailable(f"{path!r} is outside of the context")


def folder_of(directory: str) -> str:
    """Return the folder that the agent starts a step in, as builder/context.go has it."""
    if not directory:
        return WORKSPACE
    directory = directory.replace("\\", "/")
    return posixpath.normpath(posixpath.join(WORKSPACE, directory))


class World(Protocol):
    """What commands do, told to whoever keeps account of it.

    Every name may hold placeholders.
    """

    unknowns: Unknowns
    registry: str

    def build(self, build: Build, builder: Builder, line: int) -> None:
        """An image is built, under every tag of the build."""

    def pull(self, image: str, line: int) -> None:
        """An image is fetched into the agent's store."""

    def tag(self, old: str, new: str, line: int) -> None:
        """An image of the agent's store gets another name."""

    def push(self, image: str, line: int) -> None:
        """An image of the agent's store is pushed."""

    def push_all(self, repository: str, line: int) -> None:
        """Every tag of a repository in the agent's store is pushed."""

    def copy(self, sources: Sequence[str], target: str, line: int) -> None:
        """An image of a registry is made of others, without the agent's store."""

    def fill(self, image: str, reason: str, line: int) -> None:
        """An image of the agent's store comes from something that is not followed."""

    def run(self, image: str, line: int, way: tuple[str, ...]) -> None:
        """A container of an image is run."""

    def unclear(self, text: str, reason: str, line: int) -> None:
        """Something is not understood."""

    def write(self, place: Place, path: str) -> None:
        """A file, or everything in a folder, may be written."""

    def write_all(self, reason: str, line: int) -> None:
        """Any file of the context may be written."""

    def read(self, path: str) -> bytes:
        """Return a file of the task's context.

        Raises:
            SourceUnavailable: It cannot be had.
        """
