"""The files of a run: those of contexts, as long as no step has written them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import replace

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.dependencies.build_files import BuildImages
from rebuilder.core.dockerfile import read_dockerfile
from rebuilder.core.taskfile._commands.world import Place, Rewritten
from rebuilder.core.taskfile._steps import Build, Placeholder
from rebuilder.core.taskfile._text import Unknowns
from rebuilder.errors import InvalidBuildFile, SourceUnavailable

type ReadFile = Callable[[str, str], bytes]
"""Gives a file of a context: the context's address, "" for the task's own, and the path from its
root. Raises SourceUnavailable if it cannot be had."""

_BYTES = 4 * 1024 * 1024
"""How much of Dockerfiles one task file may have read; one that is read again counts again."""


class Files:
    """The files that builds and steps read.

    Args:
        unknowns: The placeholders in the steps.
        read_file: Gives files of contexts.
        platform: What the agent builds for, unless a build says otherwise.
    """

    def __init__(self, unknowns: Unknowns, read_file: ReadFile, platform: str) -> None:
        self._unknowns = unknowns
        self._read_file = read_file
        self._platform = platform
        self._written: dict[str, int] = {}
        self._rewritten: tuple[str, int] | None = None
        self._left = _BYTES

    def content(self, build: Build) -> bytes:
        """Return the Dockerfile of a build."""
        if build.inline is not None:
            return build.inline
        return self._read_file(build.context, build.dockerfile)

    def images(self, build: Build, content: bytes) -> BuildImages:
        """Return what a build reads."""
        self._left -= len(content)
        if self._left < 0:
            raise SourceUnavailable(f"the Dockerfiles together are over {_BYTES} bytes")
        return read_dockerfile(
            content,
            build_args=build.build_args,
            target=build.target,
            platform=build.platform or self._platform,
        )

    def changed(self, build: Build) -> str:
        """Return why a Dockerfile of the context is not the one that is built; "" if it is."""
        if build.context or build.inline is not None:
            return ""
        if self._rewritten is not None:
            reason, line = self._rewritten
            return f"line {line}: {reason}, so that it may not be the context's any more"
        for path, line in self._written.items():
            if build.dockerfile == path or build.dockerfile.startswith(f"{path}/"):
                return f"line {line} writes it, so that it is not the context's"
        return ""

    def sure(
        self, build: Build, said: BuildImages, content: bytes
    ) -> set[tuple[ImageReference, Kind]]:
        """Return the images that do not depend on what is not known."""
        sure = {(use.reference, use.kind) for use in said.images}
        if not build.unknown_args:
            return sure
        values = " ".join(build.build_args[name] for name in build.unknown_args)
        placeholders = self._unknowns.within(values)
        for instead in _attempts(placeholders):
            try:
                other = replace(build, build_args=_with(build, placeholders, instead))
                again = self.images(other, content)
            except (InvalidBuildFile, SourceUnavailable):
                continue  # a build that fails with a value reads nothing with it
            sure &= {(use.reference, use.kind) for use in again.images}
        return sure

    def write(self, place: Place, path: str) -> None:
        """A file may be written."""
        if self._unknowns.within(path):
            return
        try:
            self._written.setdefault(place.path(path), place.line)
        except SourceUnavailable:
            return  # what is outside of the context is no Dockerfile of it

    def write_all(self, reason: str, line: int) -> None:
        """Any file may be written."""
        self._rewritten = self._rewritten or (reason, line)

    def read(self, path: str) -> bytes:
        """Return a file of the task's context."""
        changed = self.changed(Build(path))
        if changed:
            raise Rewritten(f"{path}: {changed}")
        content = self._read_file("", path)
        self._left -= len(content)
        if self._left < 0:
            raise SourceUnavailable(f"the files together are over {_BYTES} bytes")
        return content


def _attempts(placeholders: Sequence[Placeholder]) -> Iterator[list[str]]:
    yield [placeholder.other for placeholder in placeholders]
    if any(placeholder.may_be_empty for placeholder in placeholders):
        yield ["" if placeholder.may_be_empty else placeholder.word for placeholder in placeholders]


def _with(
    build: Build, placeholders: Sequence[Placeholder], instead: Sequence[str]
) -> dict[str, str]:
    arguments = {}
    for name, value in build.build_args.items():
        for placeholder, other in zip(placeholders, instead, strict=True):
            value = value.replace(placeholder.word, other)  # noqa: PLW2901 - one after the other
        arguments[name] = value
    return arguments
