"""The command `rebuilder deps`: the images that a file reads and makes. It needs no settings.

With --task it is `task.print_task`, which does.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rebuilder.cli._command import Command, Option, as_json, with_context
from rebuilder.cli._table import table
from rebuilder.cli._terminal import complain, orderly, say_all, say_json
from rebuilder.cli.exits import Exit
from rebuilder.core.dependencies.build_files import BuildImages, ImageUse, UnknownImage
from rebuilder.core.dependencies.effects import Built, Effects, StepDone, warnings_of
from rebuilder.core.dockerfile import read_dockerfile
from rebuilder.errors import InvalidBuildFile, NotFound, SourceUnavailable

if TYPE_CHECKING:
    from rebuilder.usecases.context import Context

_COLUMNS = ("REFERENCE", "KIND", "LINE", "WAY")
_NO_IMAGE = "It reads no image."
_STANDARD_INPUT = "-"
_LIMIT = 256 * 1024
"""Longer files are refused by their readers; no more than this and one is read."""

_FOR_DOCKERFILES, _FOR_TASK_FILES = "For Dockerfiles", "For task files"
_TASK_FILE, _DOCKERFILE = "task-file", "dockerfile"
_OF_TASK_FILES = re.compile(r"^(?:steps|alias|stepTimeout|version)[ \t]*:", re.MULTILINE)
_OF_DOCKERFILES = re.compile(r"^[ \t]*(?:FROM|ARG)[ \t]+\S", re.IGNORECASE | re.MULTILINE)


class _Options(NamedTuple):
    """What a person gives; see the command's options."""

    file: str
    form: str
    platform: str
    build_arg: tuple[str, ...]
    target: str
    values: str
    set: tuple[str, ...]
    registry: str
    context: str


@click.command(
    cls=Command,
    help="List the images that a Dockerfile or a task file reads, as it is built, without Azure;"
    " FILE may be - for standard input. With --task, what every source knows of a task.",
    codes={
        Exit.OK: "there is an answer, what is not known in it included",
        Exit.FAILED: "the file is refused or cannot be read",
        Exit.NOT_RUN: "wrong usage",
    },
    either=("file", "task"),
    needed=True,
)
@click.argument("file", required=False)
@click.option("--task", default="", metavar="[REGISTRY/]NAME", help="A task, which needs Azure.")
@click.option(
    "--as",
    "form",
    type=click.Choice((_DOCKERFILE, _TASK_FILE)),
    help="What the file is; by default told by its name and content.",
)
@click.option(
    "--platform",
    default="linux/amd64",
    metavar="OS/ARCH",
    help="What to build for, separated by commas (linux/amd64).",
)
@as_json
@click.option(
    "--build-arg",
    cls=Option,
    section=_FOR_DOCKERFILES,
    multiple=True,
    metavar="NAME[=VALUE]",
    help="A build argument; without a value, that of the environment.",
)
@click.option(
    "--target",
    cls=Option,
    section=_FOR_DOCKERFILES,
    default="",
    metavar="STAGE",
    help="The stage to build; by default the last one.",
)
@click.option(
    "--values",
    cls=Option,
    section=_FOR_TASK_FILES,
    default="",
    metavar="FILE",
    help="The values file.",
)
@click.option(
    "--set",
    cls=Option,
    section=_FOR_TASK_FILES,
    multiple=True,
    metavar="NAME=VALUE",
    help="A value, which wins over the file's.",
)
@click.option(
    "--registry",
    cls=Option,
    section=_FOR_TASK_FILES,
    default="",
    metavar="HOST",
    help="The login server of the task's registry.",
)
@click.option(
    "--context",
    cls=Option,
    section=_FOR_TASK_FILES,
    default="",
    metavar="DIR",
    help="Where the Dockerfiles are; by default the folder of the file.",
)
def deps(*, file: str | None, task: str, as_json: bool, **options: Any) -> int:  # noqa: ANN401 - those of _Options
    """Read a file, or ask for a task."""
    if file is None:
        return _task(task, as_json=as_json)
    # Needs neither settings nor Azure.
    return orderly(lambda: _deps(_Options(file=file, **options), as_json=as_json))


@with_context
def _task(context: Context, task: str, *, as_json: bool) -> int:
    from rebuilder.cli.see.task import print_task  # noqa: PLC0415 - a file needs none of it

    return print_task(context, task, as_json=as_json)


def _deps(options: _Options, *, as_json: bool) -> int:
    content = _content(options.file)
    form = options.form or _form(options.file, content)
    wrong = _of_the_other(options, form)
    if wrong:
        complain(f"rebuilder deps: {wrong}")
        return Exit.NOT_RUN
    read: Callable[[_Options, bytes], _Answer]
    read = _read_task_file if form == _TASK_FILE else _read_dockerfile
    try:
        answer = read(options, content)
    except InvalidBuildFile as error:
        place = f"{options.file}:{error.line}" if error.line else options.file
        complain(f"{place}: {error.problem}")
        if as_json and form == _TASK_FILE:
            missed = UnknownImage("the task file", error.line, error.problem)
            say_json(_of_task_file(Effects(unknown=(missed,))).record)
        return Exit.FAILED
    if as_json:
        say_json(answer.record)
    else:
        say_all(answer.lines)
    return Exit.OK


def _content(file: str) -> bytes:
    if file == _STANDARD_INPUT:
        return sys.stdin.buffer.read(_LIMIT + 1)
    return _read(Path(file), file)


def _read(path: Path, name: str) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise NotFound(f"{name} cannot be read: it is no file")
        with path.open("rb") as opened:
            return opened.read(_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NotFound(f"{name} cannot be read: {reason}") from error


def _form(file: str, content: bytes) -> str:
    """Tell a task file from a Dockerfile, by its name, else by what stands in it."""
    name = Path(file).name.lower()
    if name.endswith((".yaml", ".yml")):
        return _TASK_FILE
    if "dockerfile" in name or "containerfile" in name:
        return _DOCKERFILE
    text = content.decode(errors="replace")
    task, docker = _OF_TASK_FILES.search(text), _OF_DOCKERFILES.search(text)
    # Either may quote the other, further down.
    first = task is not None and (docker is None or task.start() < docker.start())
    return _TASK_FILE if first else _DOCKERFILE


def _of_the_other(options: _Options, form: str) -> str:
    """Return what was given that the file has no use for; "" if nothing was."""
    names = ("build_arg", "target") if form == _TASK_FILE else ("values", "set", "registry")
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name)]
    other = _DOCKERFILE if form == _TASK_FILE else _TASK_FILE
    if not given:
        return ""
    return f"{', '.join(given)}: not for a {form}; --as {other} if {options.file} is one"


# Dockerfiles.


class _Answer:
    """What a file says, for a program and for a person."""

    def __init__(self, record: dict[str, Any], lines: Sequence[str]) -> None:
        self.record = record
        self.lines = lines


def _read_dockerfile(options: _Options, content: bytes) -> _Answer:
    read = read_dockerfile(
        content,
        build_args=_build_args(options.build_arg, os.environ),
        target=options.target,
        platform=options.platform,
    )
    record = {
        "images": [_use_record(use) for use in read.images],
        "final": str(read.final) if read.final else None,
        "unknown": [_unknown_record(missed) for missed in read.unknown],
        **_builder_record(read),
    }
    lines = [
        *(_table(read.images) if read.images else [_NO_IMAGE]),
        *map(_unknown_line, read.unknown),
    ]
    lines += [f"not needed: line {use.line}: {use.reference}" for use in read.unused]
    lines += [
        f"{'needs' if only.refused else 'is for'} BuildKit: line {only.line}: {only.what}"
        for only in read.needs_buildkit
    ]
    return _Answer(record, lines)


def _build_args(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Build arguments as docker takes them; one without a value anywhere is as good as none."""
    found: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals:
            found[name] = value
        elif name in environment:
            found[name] = environment[name]
        else:
            found.pop(name, None)
    return found


def _builder_record(read: BuildImages) -> dict[str, Any]:
    return {
        "unused": [_use_record(use) for use in read.unused],
        "needsBuildkit": [
            {"line": only.line, "what": only.what, "refused": only.refused}
            for only in read.needs_buildkit
        ],
    }


def _use_record(use: ImageUse) -> dict[str, Any]:
    return {
        "reference": str(use.reference),
        "kind": use.kind.value,
        "line": use.line,
        "way": list(use.way),
    }


def _unknown_record(missed: UnknownImage) -> dict[str, Any]:
    return {"text": missed.text, "line": missed.line, "reason": missed.reason}


def _unknown_line(missed: UnknownImage) -> str:
    place = f"line {missed.line}: " if missed.line else ""
    return f"unknown: {place}{missed.text}: {missed.reason}"


def _table(images: Sequence[ImageUse]) -> Iterator[str]:
    rows = [
        (str(use.reference), use.kind.value, str(use.line or ""), "; ".join(use.way))
        for use in images
    ]
    return table(_COLUMNS, rows, whole_rules=False)


# Task files.


def _read_task_file(options: _Options, content: bytes) -> _Answer:
    folder = Path(options.context or ("." if options.file == "-" else Path(options.file).parent))
    # With it comes YAML, which a Dockerfile has no need of.
    from rebuilder.core.taskfile import RunContext, read_task_file  # noqa: PLC0415

    effects = read_task_file(
        content,
        _files(folder),
        values_content=_read(Path(options.values), options.values) if options.values else b"",
        values=_values(options.set),
        run=RunContext(options.registry.lower(), "", *options.platform.split("/")[:2]),
        platform=options.platform,
    )
    return _of_task_file(effects)


def _files(folder: Path) -> Callable[[str, str], bytes]:
    def read(context: str, path: str) -> bytes:
        if context:
            raise SourceUnavailable(f"{context} is not read: this command asks no network")
        try:
            return _read(folder / path, path)
        except NotFound as error:
            raise SourceUnavailable(str(error)) from error

    return read


def _values(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            # The agent's own words; templating/base_render_options.go.
            raise InvalidBuildFile(0, f"--set {text}: expected a key=val format")
        found[name] = value
    return found


def _of_task_file(effects: Effects) -> _Answer:
    record = {
        "images": [_use_record(use) for use in effects.images],
        "pushes": list(effects.pushes),
        "final": str(effects.final) if effects.final else None,
        "unknown": [_unknown_record(missed) for missed in effects.unknown],
        "missingValues": list(effects.missing),
        "steps": [_step_record(step) for step in effects.steps],
    }
    unknown = [_unknown_line(missed) for missed in effects.unknown]
    # A value that is not given comes before everything that follows from it.
    lines = unknown[: len(effects.missing)]
    lines += _table(effects.images) if effects.images else [_NO_IMAGE]
    lines += [f"pushes {name}" for name in effects.pushes] or ["pushes no image that is known"]
    lines += unknown[len(effects.missing) :]
    lines += [line for step in effects.steps for line in _step_lines(step)]
    return _Answer(record, lines)


def _step_record(step: StepDone) -> dict[str, Any]:
    return {
        "line": step.line,
        "id": step.id,
        "kind": step.kind,
        "builder": step.builds[0].builder.value if step.builds else None,
        "builds": [
            {
                "dockerfile": build.dockerfile,
                "builder": build.builder.value,
                "tags": list(build.tags),
                "pushed": build.pushed,
                **_builder_record(build.images or BuildImages((), None)),
            }
            for build in step.builds
        ],
        "tools": list(step.tools),
        "pushes": list(step.pushes),
    }


def _step_lines(step: StepDone) -> Iterator[str]:
    what = [f"builds {build.dockerfile} with the {build.builder} builder" for build in step.builds]
    what += [f"runs {tool}" for tool in step.tools]
    what += [f"pushes {name}" for name in step.pushes]
    yield f"line {step.line}: {step.kind}: {', '.join(what) or 'makes no image'}"
    for build in step.builds:
        yield from _build_lines(build)


def _build_lines(build: Built) -> Iterator[str]:
    for text in warnings_of(build):
        yield f"    warning: {text}"
    for use in build.unused:
        pulled = ", and the classic builder pulls it" if not build.builder.reads_syntax else ""
        yield f"    {build.dockerfile}, line {use.line}: {use.reference} is not needed{pulled}"
