"""What a template is made of."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field


class Literal(Struct, frozen=True):
    text: str
    lines: Sequence[int]


class Operand(Struct, frozen=True):
    """A value, and the fields that are asked of it.

    `kind` is literal, dot, variable, call, pipe or odd; `value` is the literal, the variable's or
    function's name, or the pipeline.
    """

    kind: str
    value: object = None
    fields: tuple[str, ...] = ()


class Pipeline(Struct, frozen=True):
    commands: tuple[tuple[Operand, ...], ...]
    declared: tuple[str, ...] = ()
    assigns: bool = False


class Action(Struct, frozen=True):
    text: str
    pipeline: Pipeline
    line: int


class Branch(Struct):
    """An `if`, `with` or `range`: what decides, what then comes, what comes else."""

    word: str
    decides: Action
    body: list[Node] = field(default_factory=list)
    otherwise: list[Node] = field(default_factory=list)


class Call(Struct, frozen=True):
    """The text of another template."""

    name: str
    action: Action | None
    line: int


class Jump(Struct, frozen=True):
    word: str


type Node = Literal | Action | Branch | Call | Jump
