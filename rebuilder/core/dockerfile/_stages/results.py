"""What is told of the stages that a build reads, and of those that it does not."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import replace

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.dependencies.build_files import (
    BuildImages,
    BuildKitOnly,
    ImageUse,
    UnknownImage,
)
from rebuilder.core.dockerfile._stages.names import Names
from rebuilder.core.dockerfile._stages.states import NAMELESS, State
from rebuilder.errors import ArgumentMissing, InvalidBuildFile


def images_of(
    reached: Sequence[State], stages: Sequence[State], target: State, names: Names
) -> BuildImages:
    """What a build reads.

    Args:
        reached: What the target reaches, itself among it.
        stages: The stages of the file up to the target.
        target: What is built.
        names: How the stages came by their names.
    """
    root = target
    while root.base is not None:
        root = root.base
    images: dict[tuple[Kind, ImageReference], ImageUse] = {}
    # A base that is a stage has no reference of its own.
    named = [state for state in reached if state.reference is not None]
    for state in sorted(named, key=_line) if len(named) > 1 else named:
        assert state.reference is not None  # noqa: S101 - see above
        kind = Kind.RUNTIME if state is root else Kind.BUILD_TIME
        use = ImageUse(state.reference, kind, state.line, state.way)
        images.setdefault((kind, state.reference), use)
    unknown = names.unknown
    if unknown:
        lines = {state.line for state in reached if state.base_name == NAMELESS}
        unknown = [image for image in unknown if image.line in lines]
    return BuildImages(
        tuple(images.values()),
        root.reference,
        tuple(unknown),
        _unused(reached, stages, images),
        _needs_buildkit(stages, names, target.line),
    )


_line = operator.attrgetter("line")


def _unused(
    reached: Sequence[State],
    stages: Sequence[State],
    images: Mapping[tuple[Kind, ImageReference], ImageUse],
) -> tuple[ImageUse, ...]:
    # All of them are needed in most files; none that comes later ever is.
    if sum([state.commands is not None for state in reached]) == len(stages):
        return ()
    needed = {id(state) for state in reached}
    read = {reference for _, reference in images}
    found: dict[ImageReference, ImageUse] = {}
    for stage in stages:
        if id(stage) in needed:
            continue
        copied = [s for step in stage.steps if step.command.copies_from for s in step.sources]
        for state in (stage, *(source for source in copied if source.commands is None)):
            reference = state.reference
            if reference is not None and reference not in read:
                use = ImageUse(reference, Kind.BUILD_TIME, state.line, state.way)
                found.setdefault(reference, use)
    return tuple(found.values())


def _needs_buildkit(stages: Sequence[State], names: Names, last: int) -> tuple[BuildKitOnly, ...]:
    found = [only for only in names.needs_buildkit if only.line <= last]
    seen: set[str] = set()
    for stage in stages:
        if stage.name:
            if stage.name in seen:
                what = f"a second stage {stage.name}"
                found.append(BuildKitOnly(stage.line, what, refused=True))
            seen.add(stage.name)
        for step in stage.steps:
            for what, refused in step.command.buildkit:
                found.append(BuildKitOnly(step.command.line, what, refused))
    if len(found) > 1:
        # What an ONBUILD leaves to several stages stands on one line.
        found = sorted(dict.fromkeys(found), key=_line)
    return tuple(found)


def united(read: Mapping[str, BuildImages | InvalidBuildFile]) -> BuildImages:
    """What a build for several platforms reads.

    Args:
        read: By platform, in their order, what a build for it reads, or why it is refused.

    Raises:
        InvalidBuildFile: If one of them is refused; it names the platform, unless all are refused
            alike.
    """
    errors = {name: found for name, found in read.items() if isinstance(found, InvalidBuildFile)}
    if errors:
        raise _one_of(errors, len(read))
    results = {name: found for name, found in read.items() if isinstance(found, BuildImages)}
    images = _merged({name: found.images for name, found in results.items()}, _kind, _read_for)
    references = {use.reference for use in images}
    unused = _merged({name: found.unused for name, found in results.items()}, _kind, _read_for)
    unknown = _merged(
        {name: found.unknown for name, found in results.items()},
        lambda image: image,
        lambda image, where: replace(image, reason=f"{image.reason}; only for {where}"),
    )
    needs_buildkit = _merged(
        {name: found.needs_buildkit for name, found in results.items()},
        lambda only: only,
        lambda only, where: replace(only, what=f"{only.what}; only for {where}"),
    )
    return BuildImages(
        images,
        next(iter(results.values())).final,
        unknown,
        tuple(use for use in unused if use.reference not in references),
        needs_buildkit,
    )


def _kind(use: ImageUse) -> tuple[Kind, ImageReference]:
    return use.kind, use.reference


def _read_for(use: ImageUse, where: str) -> ImageUse:
    return replace(use, way=(*use.way, f"only for {where}"))


def _one_of(errors: Mapping[str, InvalidBuildFile], platforms: int) -> InvalidBuildFile:
    name, error = next(iter(errors.items()))
    alike = {(other.line, other.problem) for other in errors.values()}
    if len(errors) == platforms and len(alike) == 1:
        return error
    problem = f"for {name}: {error.problem}"
    if error.missing:
        return ArgumentMissing(error.line, problem, error.missing)
    return InvalidBuildFile(error.line, problem)


def _merged[T: (ImageUse, UnknownImage, BuildKitOnly)](
    read: Mapping[str, Sequence[T]],
    key: Callable[[T], Hashable],
    only_for: Callable[[T, str], T],
) -> tuple[T, ...]:
    """What is found for any platform, once each, in the order of its lines."""
    found: dict[Hashable, T] = {}
    where: dict[Hashable, dict[str, None]] = {}
    for platform, items in read.items():
        for item in items:
            found.setdefault(key(item), item)
            where.setdefault(key(item), {})[platform] = None
    merged = [
        item if len(where[one]) == len(read) else only_for(item, ", ".join(where[one]))
        for one, item in found.items()
    ]
    return tuple(sorted(merged, key=_line))
