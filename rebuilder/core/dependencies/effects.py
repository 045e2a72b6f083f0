"""What runs of a task leave behind, and what for.

A task is what it does. One that makes an image out of others has a reason to run again when one of
those moves; one that deploys, tests or deletes has none, whatever images its steps run. This is
the one place where that is decided: plans, sweeps and every report ask here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct, field

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Makes, Output
from rebuilder.core.dependencies.build_files import (
    BuildImages,
    BuildKitOnly,
    ImageUse,
    UnknownImage,
)
from rebuilder.errors import InvalidBuildFile


class Builder(StrEnum):
    """Which builder carries out a build.

    The agent gives a build step the classic builder unless the step asks for BuildKit
    (github.com/Azure/acr-builder, builder/builder.go). The classic builder runs every stage up to
    the target and takes no notice of the syntax line; what the finished image stands on is the
    same.
    """

    CLASSIC = "classic"
    BUILDKIT = "buildkit"
    KANIKO = "kaniko"
    IMG = "img"
    BUILDAH = "buildah"

    @property
    def reads_syntax(self) -> bool:
        """Whether the image that a syntax line names is fetched."""
        return self in (Builder.BUILDKIT, Builder.IMG)


class Built(Struct, frozen=True):
    """One build of a run.

    Attributes:
        line: The line of its step, counted from 1.
        builder: Which builder the step gets.
        dockerfile: The Dockerfile, for a person.
        tags: The names of the image.
        pushed: Whether the image is pushed.
        arguments: The build arguments.
        target: The stage that is built; "" for the last one.
        content: The Dockerfile's bytes; None if they could not be read.
        images: What the Dockerfile reads; None if that is not known.
        refusal: Why the builder refuses the Dockerfile; None if it does not.
        unread: Why it is not known which Dockerfile is built, or what stands in it; "" if it is.
        bare_arguments: Build arguments of a build step that stand there without a value.
    """

    line: int
    builder: Builder
    dockerfile: str
    tags: tuple[str, ...] = ()
    pushed: bool = False
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    content: bytes | None = None
    images: BuildImages | None = None
    refusal: InvalidBuildFile | None = None
    unread: str = ""
    bare_arguments: tuple[str, ...] = ()

    @property
    def unused(self) -> tuple[ImageUse, ...]:
        """The images of stages that nothing needs, which only the classic builder pulls."""
        return () if self.images is None else self.images.unused

    @property
    def needs_buildkit(self) -> tuple[BuildKitOnly, ...]:
        """What is for BuildKit, and not for the classic builder."""
        return () if self.images is None else self.images.needs_buildkit

    @property
    def fails(self) -> bool:
        """Whether the file needs BuildKit and the step does not ask for it."""
        return self.builder is Builder.CLASSIC and any(o.refused for o in self.needs_buildkit)


class StepDone(Struct, frozen=True):
    """What a step does.

    Attributes:
        line: Its line in the task file, counted from 1.
        id: Its name.
        kind: build, cmd or push.
        builds: What it builds.
        tools: The images that it runs.
        pushes: The images that it pushes.
    """

    line: int
    id: str
    kind: str
    builds: tuple[Built, ...] = ()
    tools: tuple[str, ...] = ()
    pushes: tuple[str, ...] = ()


class Effects(Struct, frozen=True):
    """Everything that a run reads and makes, as far as its files tell.

    Attributes:
        images: The images that it reads: what pushed images stand on (runtime), what else their
            builds read, and the tools that it runs.
        final: The base of the last image that is pushed; None if that is `scratch` or unknown.
        pushes: The images that it pushes, with templates where only a run knows.
        unknown: What could not be known, each with its reason; never guessed. What a value would
            tell that the task does not give comes first.
        missing: The names of the values that the task does not give, and its steps need.
        steps: What each step does.
        placeholders: Words that stand for values which nobody tells, in arguments and images.
    """

    images: tuple[ImageUse, ...] = ()
    final: ImageReference | None = None
    pushes: tuple[str, ...] = ()
    unknown: tuple[UnknownImage, ...] = ()
    missing: tuple[str, ...] = ()
    steps: tuple[StepDone, ...] = ()
    placeholders: tuple[str, ...] = ()

    @property
    def builds(self) -> tuple[Built, ...]:
        """Every build, in the order of the steps."""
        return tuple(build for step in self.steps for build in step.builds)


def output_of(effects: Effects) -> Output:
    """What a task makes whose files could be read."""
    warnings = tuple(dict.fromkeys(text for build in effects.builds for text in warnings_of(build)))
    if effects.pushes:
        because = "its steps push it"
        return _output(Makes.IMAGE, because, effects, warnings)
    open_ = [unknown for unknown in effects.unknown if unknown.makes]
    if open_:
        reasons = "; ".join(f"{unknown.text}: {unknown.reason}" for unknown in open_)
        return _output(Makes.UNKNOWN, reasons, effects, warnings)
    return _output(Makes.NOTHING, "no step of it pushes one", effects, warnings)


def _output(makes: Makes, because: str, effects: Effects, warnings: tuple[str, ...]) -> Output:
    arguments = (
        name for build in effects.builds if build.refusal for name in build.refusal.missing
    )
    return Output(
        makes,
        effects.pushes,
        because,
        effects.missing,
        warnings,
        arguments=tuple(dict.fromkeys(arguments)),
    )


def warnings_of(build: Built) -> Iterator[str]:
    """Yield what makes a build fail, for a person."""
    for only in _most_telling(build.needs_buildkit) if build.builder is Builder.CLASSIC else ():
        needs = "needs" if only.refused else "is for"
        where = f"{build.dockerfile} {needs} BuildKit (line {only.line}: {only.what})"
        yield f"{where}, and {without_buildkit(only)}"
    for name in build.bare_arguments:
        yield bare_argument(name)


def _most_telling(found: Sequence[BuildKitOnly]) -> Sequence[BuildKitOnly]:
    """Return one of all, and one that makes the build fail if there is one."""
    return sorted(found, key=lambda only: not only.refused)[:1]


def without_buildkit(only: BuildKitOnly) -> str:
    """What becomes of something that is for BuildKit on a step without it, for a person."""
    how = ", which refuses it" if only.refused else ", which refuses it or leaves it out"
    return (
        f"the step gets the classic builder{how};"
        " `env: [DOCKER_BUILDKIT=1]` in a task file's step asks for BuildKit"
    )


def bare_argument(name: str) -> str:
    """What a build argument without a value does to a build step, for a person."""
    return (
        f"`--build-arg {name}` has no value, which ACR's scanner refuses, so the run fails;"
        f" write `--build-arg {name}=...`"
    )


def output_seen(problem: str, *, recorded: bool, run: str, pushed: tuple[str, ...]) -> Output:
    """What a task makes whose files cannot be read, by what its runs were seen to do.

    Args:
        problem: Why they cannot be read.
        recorded: Whether ACR has recorded what a build of it stands on.
        run: Its last successful run; "" if none is known.
        pushed: What that run is known to have pushed. That it is nothing proves nothing: ACR
            tells of build steps only.
    """
    if pushed:
        return Output(Makes.IMAGE, pushed, f"run {run} pushed it", read=False)
    if recorded:
        return Output(Makes.IMAGE, (), "ACR has recorded a build of it", read=False)
    return Output(Makes.UNKNOWN, (), problem, read=False)
