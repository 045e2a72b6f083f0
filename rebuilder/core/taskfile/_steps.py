"""What a task file says, taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rebuilder.core.build_files import UnknownImage


@dataclass(frozen=True, slots=True)
class RunContext:
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


@dataclass(frozen=True, slots=True)
class BuildStep:
    """A step that builds an image, be it by `build:` or by `cmd: docker build`.

    Attributes:
        line: Its line in the task file, counted from 1.
        dockerfile: The Dockerfile, from the root of `context`.
        context: The address that the step fetches its files from; "" for the task's own context.
        build_args: The build arguments. A value that is not known is a stand-in, a word that
            appears nowhere else.
        target: The stage that is built; "" for the last.
        platform: What is built for, as `--platform` says it; "" for the agent's own.
        tags: The names of the image, with stand-ins where they are not known.
        pushed: Whether the file pushes the image.
        unknown_args: The build arguments whose values are not known, each with its reason.
        unknown: Why it cannot be told which Dockerfile is built, or how; empty if it can.
    """

    line: int
    dockerfile: str
    context: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platform: str = ""
    tags: tuple[str, ...] = ()
    pushed: bool = False
    unknown_args: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandStep:
    """A step that runs a container.

    Attributes:
        line: Its line in the task file, counted from 1.
        image: The image as the file writes it, with stand-ins where it is not known; "" if it
            cannot be told.
        way: How the text became the image, in words.
        unknown: Why the image is not known; empty if it is.
    """

    line: int
    image: str
    way: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StandIn:
    """A word that stands for what is not known.

    Attributes:
        word: It appears nowhere else in the file.
        other: A second word, to try whether it matters.
        text: What stands in the file.
        reason: What would have to be known.
        may_be_empty: Whether it may be nothing at all.
    """

    word: str
    other: str
    text: str
    reason: str
    may_be_empty: bool


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A task file.

    Attributes:
        steps: The steps that read images, in the file's order; pushes are left out.
        unknown: What hides the whole file: a condition on what only a run knows, for example.
        stand_ins: The words that stand for what is not known.
    """

    steps: tuple[BuildStep | CommandStep, ...]
    unknown: tuple[UnknownImage, ...] = ()
    stand_ins: tuple[StandIn, ...] = ()

    def explain(self, text: str) -> tuple[str, ...]:
        """Return why a text is not known; empty if it is."""
        return tuple(dict.fromkeys(s.reason for s in self.stand_ins if s.word in text))

    def readable(self, text: str) -> str:
        """Return a text with what the file says in place of the stand-ins."""
        for stand_in in self.stand_ins:
            text = text.replace(stand_in.word, stand_in.text)
        return text
