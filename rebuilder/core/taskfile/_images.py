"""The images that a task file's steps read, joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rebuilder.core.build_files import BuildImages, ImageUse, UnknownImage
from rebuilder.core.references import ImageReference
from rebuilder.core.taskfile._read import canonical
from rebuilder.core.taskfile._steps import BuildStep, StandIn, TaskFile
from rebuilder.core.tasks import Kind
from rebuilder.errors import InvalidReference

type DockerfileReader = Callable[[BuildStep], BuildImages | str]
"""Gives what the Dockerfile of a build step says, or why it could not be read."""


@dataclass(slots=True)
class _Found:
    """What was found so far."""

    images: dict[tuple[ImageReference, Kind], ImageUse] = field(default_factory=dict)
    unknown: list[UnknownImage] = field(default_factory=list)
    final: ImageReference | None = None


def images_of(task_file: TaskFile, read_dockerfile_for: DockerfileReader) -> BuildImages:
    """Return every image that the steps of a task file read.

    The base of an image that the file pushes is a runtime dependency; that of any other, one for
    tests for example, is one of build time, as is the image of a command. An image that another
    step of the file builds is none.

    Args:
        task_file: The task file.
        read_dockerfile_for: Gives the images of a build step's Dockerfile. It is called more than
            once for a step whose build arguments are not all known, with other values for them:
            what comes out the same does not depend on them.

    Returns:
        The images, by the lines of the task file; the way of each begins with its Dockerfile.
        `final` is the base of the last image that is pushed.
    """
    found = _Found(unknown=list(task_file.unknown))
    own = {
        canonical(tag)
        for step in task_file.steps
        if isinstance(step, BuildStep)
        for tag in step.tags
    }
    for step in task_file.steps:
        if isinstance(step, BuildStep):
            _add_build(task_file, step, own, found, read_dockerfile_for)
            continue
        text = task_file.readable(step.image)
        if canonical(step.image) in own:
            continue
        if step.unknown:
            found.unknown.append(UnknownImage(text, step.line, "; ".join(step.unknown)))
            continue
        try:
            reference = ImageReference.parse(step.image)
        except InvalidReference as error:
            found.unknown.append(UnknownImage(text, step.line, error.problem))
            continue
        use = ImageUse(reference, Kind.BUILD_TIME, step.line, (*step.way, f"cmd: {text}"))
        found.images.setdefault((reference, use.kind), use)
    return BuildImages(tuple(found.images.values()), found.final, tuple(found.unknown))


def _add_build(
    task_file: TaskFile,
    step: BuildStep,
    own: set[str],
    found: _Found,
    read: DockerfileReader,
) -> None:
    name = task_file.readable(step.dockerfile) or "the Dockerfile"
    if step.unknown:
        found.unknown.append(UnknownImage(name, step.line, "; ".join(step.unknown)))
        return
    said = read(step)
    if isinstance(said, str):
        reason = "; ".join((said, *step.unknown_args.values()))
        found.unknown.append(UnknownImage(name, step.line, reason))
        return
    sure = _sure(task_file, step, said, read)
    for use in said.images:
        text = str(use.reference)
        if text in own:
            continue
        if (use.reference, use.kind) not in sure:
            reasons = task_file.explain(text) or tuple(step.unknown_args.values())
            readable = f"{name}, line {use.line}: {task_file.readable(text)}"
            found.unknown.append(UnknownImage(readable, step.line, "; ".join(reasons)))
            continue
        kind = use.kind
        if kind is Kind.RUNTIME and not step.pushed:
            kind = Kind.BUILD_TIME
        way = (f"{name}, line {use.line}", *use.way)
        found.images.setdefault(
            (use.reference, kind), ImageUse(use.reference, kind, step.line, way)
        )
    found.unknown += [
        UnknownImage(f"{name}, line {missing.line}: {missing.text}", step.line, missing.reason)
        for missing in said.unknown
    ]
    if step.pushed:
        final = said.final
        known = final is not None and (final, Kind.RUNTIME) in sure
        found.final = final if known else None


def _sure(
    task_file: TaskFile, step: BuildStep, said: BuildImages, read: DockerfileReader
) -> set[tuple[ImageReference, Kind]]:
    """Return the images that do not depend on what is not known."""
    sure = {(use.reference, use.kind) for use in said.images}
    if not step.unknown_args:
        return sure
    values = [step.build_args[name] for name in step.unknown_args]
    stand_ins = [s for s in task_file.stand_ins if any(s.word in value for value in values)]
    for instead in _attempts(stand_ins):
        again = read(replace(step, build_args=_with(step, stand_ins, instead)))
        # A build that fails with a value reads nothing with it.
        if not isinstance(again, str):
            sure &= {(use.reference, use.kind) for use in again.images}
    return sure


def _attempts(stand_ins: Sequence[StandIn]) -> Iterator[list[str]]:
    yield [stand_in.other for stand_in in stand_ins]
    if any(stand_in.may_be_empty for stand_in in stand_ins):
        yield ["" if stand_in.may_be_empty else stand_in.word for stand_in in stand_ins]


def _with(step: BuildStep, stand_ins: Sequence[StandIn], instead: Sequence[str]) -> dict[str, str]:
    arguments = {}
    for name, value in step.build_args.items():
        for stand_in, other in zip(stand_ins, instead, strict=True):
            value = value.replace(stand_in.word, other)  # noqa: PLW2901 - one after the other
        arguments[name] = value
    return arguments
