"""What the graph of a file is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from msgspec import Struct, field

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.dockerfile._instructions.commands import Command
from rebuilder.core.dockerfile._shell.environment import Environment
from rebuilder.core.dockerfile._stages.notes import Note

SCRATCH = "scratch"
NAMELESS = ""
"""What stands for the name of an image that nobody can know before the build."""


class State(Struct, eq=False):
    """A stage, or an image that an instruction names without one.

    Attributes:
        base_name: What it is built on, expanded.
        name: The stage's name, in lower case; "" if it has none or is no stage.
        line: The line of the FROM, or of the instruction that names the image.
        number: How many states there were before it.
        blamed: The line that BuildKit blames: the same, but for what ONBUILD leaves.
        way: How the text became `base_name`.
        system: The operating system that it is for.
        note: What is told if `base_name` names no image; None if there is nothing to tell.
        commands: The instructions of the stage; None if it is no stage.
        base: The stage that it is built on, if it is one.
        reference: The image that it is built on, if it is one.
        steps: What it carries out, what its base leaves to it first.
        ready: Whether instructions may read it.
        triggered: Whether it has taken over what its base leaves to it.
        environment: What is known of its variables at its end, if that was looked at.
    """

    base_name: str
    name: str
    number: int
    line: int
    blamed: int
    way: tuple[str, ...]
    system: str
    note: Callable[[], Note | None] | None = None
    commands: list[Command] | None = None
    base: State | None = None
    reference: ImageReference | None = None
    steps: list[Step] = field(default_factory=list)
    ready: bool = False
    triggered: bool = False
    environment: Environment | None = None

    def sources(self) -> Iterator[tuple[State, int]]:
        """What its instructions read, each with the line of the instruction."""
        for step in self.steps:
            for source in step.sources:
                yield source, step.line


class Step(NamedTuple):
    """An instruction of a stage, and what it reads.

    Attributes:
        command: The instruction.
        sources: What it copies from or mounts.
        line: The line that BuildKit blames: for what ONBUILD leaves, that of the FROM.
    """

    command: Command
    sources: tuple[State, ...]
    line: int
