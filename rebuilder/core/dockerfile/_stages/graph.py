"""Stages, what each reads, and which of them a target reaches.

Source of the rules: BuildKit, `dockerfile2llb/convert.go`, `convert_runmount.go`,
`validations.go`. The order of the steps is BuildKit's, because it decides what is refused: stages
and images that the target does not reach must be well formed, but need not be in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rebuilder.core.dockerfile._frontends import Frontend
from rebuilder.core.dockerfile._instructions.checks import Scope
from rebuilder.core.dockerfile._instructions.commands import Bad, Command, Stage
from rebuilder.core.dockerfile._instructions.reading import read_trigger
from rebuilder.core.dockerfile._parser.tree import read_tree
from rebuilder.core.dockerfile._shell.environment import COPIES_LIMIT, Environment
from rebuilder.core.dockerfile._shell.lexer import Lexer
from rebuilder.core.dockerfile._shell.variables import UNKNOWN, Variable, WordError
from rebuilder.core.dockerfile._stages.notes import Note, missing_arguments, refusal
from rebuilder.core.dockerfile._stages.states import NAMELESS, SCRATCH, State, Step
from rebuilder.core.dockerfile._text import integer, parse_reference, quoted
from rebuilder.errors import InvalidBuildFile, InvalidReference

_NUMBER = "0123456789+-"


class Graph:
    """The stages of a file.

    Args:
        lexer: Expands its words.
        build_args: The build arguments, which replace the defaults of ARGs.
        outer: The ARGs before the first FROM.
        system: The operating system to build for.
        tracks: Whether the variables of stages matter, and every ENV and ARG is there.
    """

    __slots__ = (
        "_build_args", "_by_name", "_copies", "_lexer", "_looks_ahead", "_outer", "_states",
        "_system", "_tracks",
    )  # fmt: skip

    def __init__(
        self,
        lexer: Lexer,
        build_args: Mapping[str, str],
        outer: Mapping[str, Variable],
        system: str,
        *,
        tracks: bool,
    ) -> None:
        self._lexer = lexer
        self._build_args = build_args
        self._outer = outer
        self._system = system
        self._tracks = tracks
        self._looks_ahead = False
        self._copies = COPIES_LIMIT
        self._by_name: dict[str, State] = {}
        self._states: list[State] = []

    def add(
        self,
        stage: Stage,
        base_name: str,
        way: tuple[str, ...],
        system: str = "",
        note: Callable[[], Note | None] | None = None,
    ) -> None:
        """Add a stage; only those before it can be what it is built on.

        Args:
            stage: The stage.
            base_name: What it is built on.
            way: How the text became that.
            system: The operating system of its --platform; "" if it has none.
            note: What is told if `base_name` names no image; None if there is nothing to tell.
        """
        number, line = len(self._states), stage.line
        state = State(base_name, stage.name, number, line, line, way, system or self._system, note)
        state.commands = stage.commands
        self._add(state)

    def up_to(self, target: State) -> list[State]:
        """The stages of the file up to a target, in their order."""
        return [state for state in self._states[: target.number + 1] if state.commands is not None]

    def _add(self, state: State) -> None:
        # By its spelling: after FROM, the case of a stage's name matters, and nowhere else.
        state.base = self._by_name.get(state.base_name)
        if state.base is not None:
            state.system = state.base.system
        elif state.base_name == SCRATCH:
            state.system = self._system
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
            for command in state.commands or ():
                state.steps.append(self._step(command, command.line, state.number))
        if self._looks_ahead:
            self._refuse_cycles()
        while True:
            reached = self._reached(target)
            for state in self._states:
                _name_image(state)
            if not sum([self._take_over(state) for state in reached]):
                break
        for state in reached:
            if state.commands is not None:
                # What the target does not reach never gets ready, and what comes later is not yet.
                state.ready = True
                if state.steps or self._tracks:
                    self._carry_out(state)
        return reached

    def _step(self, command: Command, line: int, number: int, prefix: str = "") -> Step:
        """An instruction of the stage of a number, with what it reads."""
        if not command.copies_from and not command.mounts:
            return Step(command, (), line)
        sources = self._read_by(command, line, prefix)
        for source in sources:
            # Where no stage reads itself or a later one, there are no cycles, and all are ready.
            if source.number >= number and source.commands is not None:
                self._looks_ahead = True
        return Step(command, sources, line)

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
        try:
            # Most begin with a letter, and an exception takes its time.
            index = integer(name) if name[0] in _NUMBER else None
        except ValueError:
            index = None
        if index is None:
            return self._named(name, command.line, line, prefix + command.text)
        # The images that instructions name without a stage count too, behind the stages.
        if not 0 <= index < len(self._states):
            raise InvalidBuildFile(line, f"invalid stage index {index}")
        return self._states[index]

    def _named(self, name: str, line: int, blamed: int, way: str) -> State:
        state = self._by_name.get(name.lower())
        if state is None:
            state = State(name, "", len(self._states), line, blamed, (way,), self._system)
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
        if target.base is None and not target.steps:
            return [target]
        reached: set[int] = set()
        waiting = [target]
        while waiting:
            state = waiting.pop()
            if id(state) not in reached:
                reached.add(id(state))
                for step in state.steps:
                    waiting += step.sources
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
            command = _triggered(left, state.line, self._lexer.frontend)
            if command is not None:
                steps.append(self._step(command, state.line, state.number, "ONBUILD "))
        state.steps = steps + state.steps
        return any(step.sources for step in steps)

    def _carry_out(self, state: State) -> None:
        """Check what BuildKit checks when it carries out the instructions of a stage."""
        environment = self._begin(state) if self._tracks else None
        state.environment = environment
        steps = state.steps
        if not self._looks_ahead:
            steps = [step for step in steps if not step.command.idle]
            if not steps:
                return
        scope = Scope(self._lexer, state.system, environment, [])
        for step in steps:
            scope.lacking.clear()
            try:
                self._check(step, state, scope)
            except (WordError, ValueError) as error:
                note = self._settled_by(step.command, scope)
                raise refusal(step.line, str(error), note) from None

    def _begin(self, state: State) -> Environment:
        """What is known of the variables of a stage at its beginning."""
        if state.base is None:
            if state.base_name == SCRATCH:
                return Environment.of_scratch(state.system)
            return Environment()
        known = state.base.environment
        if known is None:
            return Environment()
        self._copies -= len(known.values)
        return known.copy() if self._copies >= 0 else Environment()

    def _settled_by(self, command: Command, scope: Scope) -> Note | None:
        """The build arguments without which an instruction is refused, and with which it is not."""
        known = scope.environment
        if known is None:
            return None
        names = [name for name in dict.fromkeys(scope.lacking) if name in known.open]
        if not names:
            return None
        trial = known.copy()
        trial.values.update(dict.fromkeys(names, UNKNOWN))
        try:
            self._check_words(command, Scope(scope.lexer, scope.system, trial, []))
        except (WordError, ValueError):
            return None
        return missing_arguments({name: known.open[name] for name in names})

    def _check(self, step: Step, state: State, scope: Scope) -> None:
        command = step.command
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
        if not command.idle:
            self._check_words(command, scope)

    def _check_words(self, command: Command, scope: Scope) -> None:
        known = scope.environment
        for word in command.words:
            scope.known(word)
        for text in command.texts:
            scope.known(text, quotes=False)
        if known is not None:
            # Before they change anything, they may be refused.
            for name, default in command.args:
                known.declare(name, default, scope.known, self._build_args, self._outer)
            if command.sets:
                known.set_all([scope.known(word) for word in command.sets])
        else:
            for name, default in command.args:
                if default and name not in self._build_args:
                    scope.known(default)
            for word in command.sets:
                scope.known(word)
        if command.check is not None:
            command.check.run(scope)


def _is_ready(state: State) -> bool:
    return state.ready or state.commands is None


def _triggered(left: Command, line: int, frontend: Frontend) -> Command | None:
    """The instruction that an ONBUILD leaves, at its own line.

    Raises:
        InvalidBuildFile: At the line of the FROM that meets it, for what BuildKit refuses.
    """
    try:
        # What is left is read as a file of its own: without the directives of this one.
        nodes = read_tree(left.trigger.split("\n"), "\\", frontend)
        if len(nodes) != 1:
            raise Bad("onbuild trigger should be a single expression")  # noqa: TRY301
        return read_trigger(nodes[0]._replace(line=left.line), frontend)
    except Bad as error:
        raise InvalidBuildFile(line, str(error)) from None
    except InvalidBuildFile as error:
        raise InvalidBuildFile(line, error.problem) from None


def _name_image(state: State) -> None:
    """Read the name of the image that a state is built on.

    Raises:
        InvalidBuildFile: If it is not the name of an image, whether it is needed or not.
    """
    if state.base is not None or state.reference is not None:
        return
    if state.base_name in (SCRATCH, NAMELESS):
        return
    try:
        state.reference = parse_reference(state.base_name)
    except InvalidReference as error:
        problem = f"failed to parse stage name {quoted(state.base_name)}"
        problem += f": invalid reference format: {error.problem}"
        note = state.note() if state.note is not None else None
        raise refusal(state.blamed, problem, note) from None
