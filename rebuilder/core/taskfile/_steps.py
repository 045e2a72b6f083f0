"""What a task file says, taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from rebuilder.core.dependencies.build_files import UnknownImage


class RunContext(Struct, frozen=True):
    """What is known of a run before it starts; "" is not known.

    Attributes:
        registry: The login server of the task's registry, for `{{.Run.Registry}}`.
        task: The task's name.
        os: The operating system, as Go calls it: `linux`, `windows`.
        architecture: The processor, as Go calls it: `amd64`.
    """

    registry: str = ""
    task: str = ""
    os: str = "linux"
    architecture: str = ""


class Step(Struct, frozen=True):
    """A step as the file has it, with its aliases and templates filled in.

    Attributes:
        line: Its line in the task file, counted from 1.
        id: Its name; the file's own, or the agent's.
        kind: Which of the three it is.
        text: The command line of a build or a cmd.
        pushed: The images of a push.
        folder: Its working directory; "" for the workspace's root.
        environment: Its variables, as the file writes them: `NAME=value`, those of the task last.
        options: What the agent puts between `docker run` and the image, for a cmd or a build.
        entry_point: What it runs instead of the image's own entry point.
        buildkit: Whether a build asks for BuildKit.
        cached: Whether a build uses the build cache, and with it buildx.
        own_folder: Whether a cmd begins in its image's own folder instead of the workspace.
        alias: The alias without its mark that the command began with; "" if there was none.
        when: Whether it says itself what it waits for; else it waits for the step before it.
    """

    line: int
    id: str
    kind: Literal["build", "cmd", "push"]
    text: str = ""
    pushed: tuple[str, ...] = ()
    folder: str = ""
    environment: tuple[str, ...] = ()
    options: str = ""
    entry_point: str = ""
    buildkit: bool = False
    cached: bool = False
    own_folder: bool = False
    alias: str = ""
    when: bool = False


class Placeholder(Struct, frozen=True):
    """A word that stands for what is not known.

    Attributes:
        word: It appears nowhere else in the file.
        other: A second word, to try whether it matters.
        text: What stands in the file.
        reason: What would have to be known.
        may_be_empty: Whether it may be nothing at all.
        value: The value that nobody gives, if that is why it is not known.
        line: The line of the file where it stands first, counted from 1; 0 if that is not told.
        later: Whether every run knows it.
    """

    word: str
    other: str
    text: str
    reason: str
    may_be_empty: bool
    value: str = ""
    line: int = 0
    later: bool = False


class Build(Struct, frozen=True):
    """One build of one Dockerfile, whoever asks for it.

    Attributes:
        dockerfile: The Dockerfile, from the root of `context`.
        context: The address that the build fetches its files from; "" for the task's own context.
        build_args: The build arguments. A value that is not known is a placeholder, a word that
            appears nowhere else.
        target: The stage that is built; "" for the last.
        platform: What is built for, as `--platform` says it; "" for the agent's own.
        tags: The names of the image, with placeholders where they are not known.
        pushed: Whether the build itself pushes the image.
        unknown_args: The build arguments whose values are not known, each with its reason.
        unknown: Why it cannot be told which Dockerfile is built, or how; empty if it can.
        inline: The Dockerfile itself, where it stands in a file that describes builds.
        bare: Build arguments that the command line names without a value.
        contexts: What takes the place of images of the Dockerfile, by their names.
        known_as: A name that other builds of the same file know the image by; "" for none.
    """

    dockerfile: str
    context: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platform: str = ""
    tags: tuple[str, ...] = ()
    pushed: bool = False
    unknown_args: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    inline: bytes | None = None
    bare: tuple[str, ...] = ()
    contexts: Mapping[str, str] = field(default_factory=dict)
    known_as: str = ""


class TaskFile(Struct, frozen=True):
    """A task file.

    Attributes:
        steps: The steps, in the file's order.
        unknown: What hides the whole file: a condition on what only a run knows, for example.
        lacking: Stand-ins for values that nobody gives, without which it has no steps.
    """

    steps: tuple[Step, ...]
    unknown: tuple[UnknownImage, ...] = ()
    lacking: tuple[Placeholder, ...] = ()
