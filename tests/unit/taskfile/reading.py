"""Reads task files from texts, with Dockerfiles of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rebuilder.core.dependencies.effects import Effects
from rebuilder.core.taskfile import RunContext, read_task_file
from rebuilder.errors import SourceUnavailable

REGISTRY = "myapps.azurecr.io"
RUN = RunContext(REGISTRY, "nightly", "linux", "amd64")
NODE = "mybase.azurecr.io/node:18"


@dataclass
class Files:
    """Files by path, and those that were asked for."""

    files: Mapping[str, str | bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, context: str, path: str) -> bytes:
        """Return a file."""
        self.asked.append((context, path))
        found = self.files.get(path)
        if found is None:
            raise SourceUnavailable(f"there is no file {path}")
        return found if isinstance(found, bytes) else found.encode()


def read(
    text: str,
    files: Mapping[str, str | bytes] | Files | None = None,
    *,
    values: Mapping[str, str] | None = None,
    values_file: str = "",
    hidden: tuple[str, ...] = (),
    run: RunContext = RUN,
    folder: str = "",
) -> Effects:
    """Read a whole task file."""
    reader = files if isinstance(files, Files) else Files(files or {"Dockerfile": f"FROM {NODE}"})
    return read_task_file(
        text.encode("utf-8", "surrogatepass"),
        reader,
        values=values,
        values_content=values_file.encode(),
        hidden=hidden,
        run=run,
        folder=folder,
    )


def steps(
    text: str, files: Mapping[str, str | bytes] | Files | None = None, **more: object
) -> Effects:
    """Read the steps of a file that has aliases; the first one stands on line 3."""
    return read(f"version: v1.1.0\nsteps:\n{text}", files, **more)  # type: ignore[arg-type] # as read has them


def cmd(*commands: str, **files: str) -> Effects:
    """Read commands, each a step of its own; a file of a name with dots is given with `__`."""
    text = "".join(f"- cmd: |\n    {command}\n" for command in commands)
    named = {name.replace("__", "."): content for name, content in files.items()}
    return steps(text, {"Dockerfile": f"FROM {NODE}", **named})


def images(found: Effects) -> list[str]:
    """Return the images with their kinds, sorted."""
    return sorted(f"{use.reference} {use.kind}" for use in found.images)


def told(found: Effects) -> str:
    """Return everything that is told as unknown."""
    return "\n".join(f"{m.line}: {m.text}: {m.reason}" for m in found.unknown)
