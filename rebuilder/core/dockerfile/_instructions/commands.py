"""What of the instructions of a file matters to the images of a build."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct, field

from rebuilder.core.dockerfile._instructions.checks import Check
from rebuilder.core.dockerfile._instructions.mounts import Mount


class Bad(Exception):
    """An instruction that BuildKit refuses; the message tells why."""


class Command(NamedTuple):
    """What of an instruction matters to the images of a build.

    Attributes:
        line: The line on which it begins.
        text: The instruction as a person writes it, without what does not matter.
        copies_from: The stage, number or image of `COPY --from`; "" if there is none.
        mounts: The values of `RUN --mount`.
        words: Words that are expanded when the stage is built, if they are not plain.
        texts: Texts of heredocs whose variables are replaced then.
        check: What is checked then.
        sets: The names and values that an ENV sets, in turn.
        args: The names of an ARG, each with its default.
        trigger: What an ONBUILD runs in stages that are built on this one.
        buildkit: What of it is for BuildKit alone: in words for a person, and whether the classic
            builder refuses it for sure.
        varies: Whether what BuildKit makes of it depends on the variables of its stage.
    """

    line: int
    text: str = ""
    copies_from: str = ""
    mounts: tuple[Mount, ...] = ()
    words: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    check: Check | None = None
    sets: tuple[str, ...] = ()
    args: tuple[tuple[str, str | None], ...] = ()
    trigger: str = ""
    buildkit: tuple[tuple[str, bool], ...] = ()
    varies: bool = False

    @property
    def idle(self) -> bool:
        """Whether it neither says nor changes anything that is looked at when it is carried out."""
        return not (self.check or self.sets or self.args or self.words or self.texts)


class Stage(Struct):
    """A FROM and what follows it.

    Attributes:
        base: What stands after FROM.
        name: Its name, in lower case; "" if it has none.
        platform: The platform as written; "" if there is none.
        line: The line of the FROM.
        commands: What follows.
    """

    base: str
    name: str
    platform: str
    line: int
    commands: list[Command] = field(default_factory=list)


class GlobalArg(NamedTuple):
    """An ARG before the first FROM.

    Attributes:
        name: Its name.
        default: Its default; None if it has none.
        line: Its line.
    """

    name: str
    default: str | None
    line: int


class Instructions(NamedTuple):
    """The instructions of a file.

    Attributes:
        args: The ARGs before the first FROM.
        stages: The stages.
        varies: Whether what BuildKit makes of any of them depends on the variables of its stage.
    """

    args: Sequence[GlobalArg]
    stages: Sequence[Stage]
    varies: bool
