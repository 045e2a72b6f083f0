"""Stages, what each reads, and which of them a target reaches.

Source of the rules: BuildKit, `dockerfile2llb/convert.go`, `convert_runmount.go`,
`validations.go`. The order of the steps is BuildKit's, because it decides what is refused: stages
and images that the target does not reach must be well formed, but need not be in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rebuilder.core.dockerfile._instructions import Bad, Command, Stage, read_trigger
from rebuilder.core.dockerfile._mounts import check_mount
from rebuilder.core.dockerfile._text import parse_reference, quoted
from rebuilder.core.dockerfile._tree import read_tree
from rebuilder.core.dockerfile._words import Lexer, WordError
from rebuilder.core.references import ImageReference
from rebuilder.errors import InvalidBuildFile, InvalidReference

SCRATCH = "scratch"

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_URL = re.compile(r"https?://")


@dataclass(slots=True, eq=False)
class State:
    """A stage, or an image that an instruction names without one.

    Attributes:
        base_name: What it is built on, expanded.
        name: The stage's name, in lower case; "" if it has none or is no stage.
        line: The line of the FROM, or of the instruction that names the image.
        number: How many states there were before it.
        blamed: The line that BuildKit blames: the same, but for what ONBUILD leaves.
        way: How the text became `base_name`.
        commands: The instructions of the stage; None if it is no stage.
        base: The stage that it is built on, if it is one.
        reference: The image that it is built on, if it is one.
        steps: What it carries out, what its base leaves to it first.
        ready: Whether instructions may read it.
        triggered: Whether it has taken over what its base leaves to it.
    """

    base_name: str
    name: str
    number: int
    line: int
    blamed: int
    way: tuple[str, ...]
    commands: list[Command] | None = None
    base: State | None = None
    reference: ImageReference | None = None
    steps: list[Step] = field(default_factory=list)
    ready: bool = False
    triggered: bool = False

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


class Graph:
    """The stages of a file.

    Args:
        lexer: Expands its words.
        build_args: The build arguments, which replace the defaults of ARGs.
    """

    __slots__ = ("_build_args", "_by_name", "_lexer", "_states")

    def __init__(self, lexer: Lexer, build_args: Mapping[str, str]) -> None:
        self._lexer = lexer
        self._build_args = build_args
        self._by_name: dict[str, State] = {}
        self._states: list[State] = []

    def add(self, stage: Stage, base_name: str, way: tuple[str, ...]) -> None:
        """Add a stage; only those before it can be what it is built on."""
        number = len(self._states)
        self._add(State(base_name, stage.name, number, stage.line, stage.line, way, stage.commands))

    def _add(self, state: State) -> None:
        # By its spelling: after FROM, the case of a stage's name matters, and nowhere else.
        state.base = self._by_name.get(state.base_name)
        self._states.append(state)
        if state.name:
            self._by_name[state.name] = state

    def target(self, name: str) -> State:
        """The stage to build: by its name, in any case, or the last one.

        Raises:
            InvalidBuildFile: If there is none of that name.
        """
        if not name:
            return self._states[-1]
        state = self._by_name.get(name.lower())
        if state is None:
            raise InvalidBuildFile(0, f"target stage {quoted(name)} could not be found")
        return state

    def reach(self, target: State) -> list[State]:
        """Connect the stages, and check those that are needed for a target.

        Returns:
            What the target reaches, itself among it, in the order of the file.

        Raises:
            InvalidBuildFile: For what BuildKit refuses.
        """
        for state in list(self._states):
            state.steps = [
                Step(command, self._read_by(command, command.line, ""), command.line)
                for command in state.commands or ()
            ]
        if any(_looks_ahead(state) for state in self._states):
            self._refuse_cycles()
        while True:
            reached = self._reached(target)
            for state in self._states:
                _name_image(state)
            if not sum([self._take_over(state) for state in reached]):
                break
        for state in reached:
            if state.commands is not None:
                self._carry_out(state)
        return reached

    def _read_by(self, command: Command, line: int, prefix: str) -> tuple[State, ...]:
        sources: list[State] = []
        if command.copies_from:
            sources.append(self._copied(command, line, prefix))
        for mount in command.mounts:
            name = mount.source or SCRATCH
            way = f"{prefix}RUN --mount=from={name}"
            sources.append(self._named(name, command.line, line, way))
        return tuple(sources)

    def _copied(self, command: Command, line: int, prefix: str) -> State:
        name = command.copies_from
        try:
            plain = self._lexer.expand(name, {}) == name
        except WordError as error:
            raise InvalidBuildFile(line, str(error)) from None
        if not plain:
            raise InvalidBuildFile(
                line,
                "variable expansion is not supported for --from, define a new stage with FROM"
                " using ARG from global scope as a workaround",
            )
        if not _INTEGER.fullmatch(name):
            return self._named(name, command.line, line, prefix + command.text)
        # The images that instructions name without a stage count too, behind the stages.
        index = int(name)
        if not 0 <= index < len(self._states):
            raise InvalidBuildFile(line, f"invalid stage index {index}")
        return self._states[index]

    def _named(self, name: str, line: int, blamed: int, way: str) -> State:
        state = self._by_name.get(name.lower())
        if state is None:
            state = State(name, "", len(self._states), line, blamed, (way,))
            self._add(state)
        return state

    def _refuse_cycles(self) -> None:
        """Refuse stages that read each other; FROM cannot, it knows only what came before."""
        done: set[int] = set()
        for start in self._states:
            if id(start) in done:
                continue
            path = {id(start)}
            walk = [(start, start.sources())]
            while walk:
                state, rest = walk[-1]
                for source, line in rest:
                    if id(source) in path:
                        name = start.name or f"stage-{start.number}"
                        raise InvalidBuildFile(
                            line, f"circular dependency detected on stage: {name}"
                        )
                    if id(source) not in done:
                        path.add(id(source))
                        walk.append((source, source.sources()))
                        break
                else:
                    done.add(id(state))
                    path.remove(id(state))
                    walk.pop()

    def _reached(self, target: State) -> list[State]:
        reached: set[int] = set()
        waiting = [target]
        while waiting:
            state = waiting.pop()
            if id(state) not in reached:
                reached.add(id(state))
                waiting += [source for source, _ in state.sources()]
                if state.base is not None:
                    waiting.append(state.base)
        return [state for state in self._states if id(state) in reached]

    def _take_over(self, state: State) -> bool:
        """Take over what the ONBUILDs of the stage's base leave to it.

        Returns:
            Whether any of it reads a stage or an image.
        """
        if state.base is None or state.triggered:
            return False
        state.triggered = True
        steps: list[Step] = []
        for left in state.base.commands or ():
            if not left.trigger:
                continue
            command = _triggered(left, state.line)
            if command is not None:
                sources = self._read_by(command, state.line, "ONBUILD ")
                steps.append(Step(command, sources, state.line))
        state.steps = steps + state.steps
        return any(step.sources for step in steps)

    def _carry_out(self, state: State) -> None:
        """Check what BuildKit checks when it carries out the instructions of a stage."""
        # What the target does not reach never gets ready, and what comes later is not yet.
        state.ready = True
        for step in state.steps:
            try:
                self._check(step, state)
            except (WordError, ValueError) as error:
                raise InvalidBuildFile(step.line, str(error)) from None

    def _check(self, step: Step, state: State) -> None:
        command = step.command
        for word in command.words:
            self._lexer.check(word)
        for text in command.texts:
            self._lexer.check(text, quotes=False)
        for name, default in command.defaults:
            if name not in self._build_args:
                self._lexer.check(default)
        for mount in command.mounts:
            if mount.fields:
                check_mount(mount, self._lexer.check)
        for mount, source in zip(command.mounts, step.sources, strict=False):
            if mount.source and not _is_ready(source):
                raise ValueError(
                    f"cannot mount from stage {quoted(mount.source)} to {quoted(mount.target)},"
                    " stage needs to be defined before current command"
                )
        if command.copies_from and not _is_ready(step.sources[0]):
            raise ValueError(
                f"cannot copy from stage {quoted(command.copies_from)}, it needs to be defined"
                f" before current stage {quoted(state.name)}"
            )
        for source_path in command.sources:
            if _URL.match(source_path):
                raise ValueError("source can't be a URL for COPY")


def _looks_ahead(state: State) -> bool:
    """Whether a stage reads itself or a later one; without that there are no circles."""
    number = state.number
    return any(
        source.number >= number and source.commands is not None
        for step in state.steps
        for source in step.sources
    )


def _is_ready(state: State) -> bool:
    return state.ready or state.commands is None


def _triggered(left: Command, line: int) -> Command | None:
    """The instruction that an ONBUILD leaves, at its own line.

    Raises:
        InvalidBuildFile: At the line of the FROM that meets it, for what BuildKit refuses.
    """
    try:
        # What is left is read as a file of its own: without the directives of this one.
        nodes = read_tree(left.trigger.split("\n"), "\\")
        if len(nodes) != 1:
            raise Bad("onbuild trigger should be a single expression")  # noqa: TRY301
        return read_trigger(nodes[0]._replace(line=left.line))
    except Bad as error:
        raise InvalidBuildFile(line, str(error)) from None
    except InvalidBuildFile as error:
        raise InvalidBuildFile(line, error.problem) from None


def _name_image(state: State) -> None:
    """Read the name of the image that a state is built on.

    Raises:
        InvalidBuildFile: If it is not the name of an image, whether it is needed or not.
    """
    if state.base is not None or state.reference is not None or state.base_name == SCRATCH:
        return
    try:
        state.reference = parse_reference(state.base_name)
    except InvalidReference as error:
        raise InvalidBuildFile(
            state.blamed,
            f"failed to parse stage name {quoted(state.base_name)}: invalid reference format:"
            f" {error.problem}",
        ) from None
