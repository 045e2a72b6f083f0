"""The ARGs before the first FROM, what is predefined, and what values of them would settle.

Source of the rules: BuildKit, `convert.go` (buildMetaArgs) and `epoch.go` of `dockerfile2llb`;
of the classic builder: moby, `daemon/builder/dockerfile` (processMetaArg, BuildArgs).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from rebuilder.core.dockerfile._instructions.commands import GlobalArg, Instructions, Stage
from rebuilder.core.dockerfile._platforms import parse_platform
from rebuilder.core.dockerfile._shell.environment import EMPTY_DEFAULT, GIVEN_EMPTY, NOT_GIVEN
from rebuilder.core.dockerfile._shell.lexer import Lexer
from rebuilder.core.dockerfile._shell.variables import UNKNOWN, Variable, WordError
from rebuilder.core.dockerfile._stages.notes import Note, missing_arguments, refusal
from rebuilder.core.dockerfile._stages.states import SCRATCH
from rebuilder.core.dockerfile._text import integer, parse_reference
from rebuilder.errors import InvalidBuildFile, InvalidReference

_LEAVES_LIMIT = 20
_ONE_NAME = re.compile(r"\$(?:\w+|\{\w+\})", re.ASCII).fullmatch
_STAGE = "TARGETSTAGE"
_EPOCH = "SOURCE_DATE_EPOCH"
# What a missing argument might have held.
_DIGEST = "sha256:" + "0" * 64
_IMAGES = "x", _DIGEST
_PLATFORMS = "linux/amd64", "amd64", "linux"


class GlobalArgs:
    """What is set before the first FROM: ARGs, and what is predefined.

    Args:
        instructions: The instructions of the file.
        lexer: Expands its words.
        build_args: The build arguments.
        automatic: What is predefined by the platform.
        target: The stage to build; "" for the last one.

    Attributes:
        variables: Those that are set.
        build_args: The build arguments, as stages see them.
        outer: The variables, as the ARGs of stages see them.

    Raises:
        InvalidBuildFile: For what BuildKit refuses.
    """

    __slots__ = (
        "_args", "_automatic", "_classic", "_lexer", "_stage", "build_args", "outer", "variables",
    )  # fmt: skip

    def __init__(
        self,
        instructions: Instructions,
        lexer: Lexer,
        build_args: Mapping[str, str],
        automatic: Mapping[str, Variable],
        target: str,
    ) -> None:
        self._args = instructions.args
        self._lexer = lexer
        self._classic: dict[str, Variable] | None = None
        self.build_args = build_args
        self._automatic = automatic
        self._stage = _stage_variable(target or instructions.stages[-1].name)
        self.variables = self._predefined(build_args)
        for arg in self._args:
            try:
                variable = _declared(arg, self.variables, lexer, build_args)
            except WordError as error:
                note = self.settled(arg.default or "", _anything, arg)
                raise refusal(arg.line, str(error), note) from None
            if variable is not None:
                self.variables[arg.name] = variable
        self.outer: Mapping[str, Variable] = self.variables
        if _EPOCH in build_args or _EPOCH in self.variables:
            self._settle_date(instructions.stages)

    def _predefined(self, build_args: Mapping[str, str]) -> dict[str, Variable]:
        """What is set before the first ARG: a build argument replaces it even without an ARG."""
        variables = dict(self._automatic)
        variables[_STAGE] = self._stage
        for name in build_args.keys() & variables.keys() if build_args else ():
            variables[name] = Variable(name, build_args[name], "--build-arg", automatic=True)
        return variables

    def _settle_date(self, stages: Sequence[Stage]) -> None:
        """Bring the date of the sources into its usual form."""
        variable = self.variables.get(_EPOCH)
        given = self.build_args.get(_EPOCH)
        if not self._lexer.frontend.dates:
            _check_date(given or "")
            return
        text = given if given is not None else variable.value if variable is not None else ""
        date = ""
        try:
            date = str(integer(text)) if text else ""
            settled = variable._replace(value=date) if variable is not None and date else None
        except ValueError:
            self._check_source_of_date(text, stages)
            settled = UNKNOWN
        self.build_args = {key: value for key, value in self.build_args.items() if key != _EPOCH}
        if given is not None and date:
            self.build_args[_EPOCH] = date
        if variable is not None:
            del self.variables[_EPOCH]
            if settled is not None:
                self.variables[_EPOCH] = settled
        self.outer = self.variables
        if settled is UNKNOWN:
            self.outer = self.variables | {_EPOCH: UNKNOWN}

    def _check_source_of_date(self, text: str, stages: Sequence[Stage]) -> None:
        """See whether a date may come out of the context, or of a stage."""
        if text == "context":
            return
        stage = next((stage for stage in stages if stage.name == text.lower()), None)
        if stage is None:
            raise InvalidBuildFile(0, f"invalid SOURCE_DATE_EPOCH: {text}")
        try:
            base = self._lexer.expand(stage.base, self.variables)
        except WordError as error:
            raise InvalidBuildFile(stage.line, str(error)) from None
        if base != SCRATCH:
            raise InvalidBuildFile(stage.line, "SOURCE_DATE_EPOCH stage must use FROM scratch")

    def by_classic_builder(self, text: str) -> str:
        """A text of a FROM as the classic builder expands it; "" if it refuses it."""
        lexer = self._lexer.beside
        try:
            if self._classic is None:
                self._classic = {}
                for arg in self._args:
                    if arg.default is None and arg.name not in self.build_args:
                        # An ARG without a default takes the value of an earlier one away.
                        self._classic.pop(arg.name, None)
                        continue
                    variable = _declared(arg, self._classic, lexer, self.build_args)
                    if variable is not None:
                        self._classic[arg.name] = variable
            return lexer.expand(text, self._classic)
        except WordError:
            return ""

    def settled(
        self, text: str, accepts: Callable[[str], bool], last: GlobalArg | None = None
    ) -> Note | None:
        """What would settle that BuildKit refuses a text: variables that have no value.

        Args:
            text: The text.
            accepts: Whether an expanded text is right.
            last: The ARG whose default it is, if it is one.
        """
        lexer = self._lexer.beside
        with contextlib.suppress(WordError):
            lexer.expand(text, self.variables)
        names = self._leaves(lexer)
        if not names:
            return None
        # What is nothing but a name may be any image.
        any_image = accepts is is_image and _ONE_NAME(text) is not None
        if not any_image and not self._would_settle(names, text, accepts, last):
            return None
        declared = {arg.name: arg for arg in self._args}
        reasons: dict[str, str] = {}
        others: list[str] = []
        wrong = False
        for name in names:
            if name in declared:
                reasons[name] = NOT_GIVEN if declared[name].default is None else EMPTY_DEFAULT
                if name in self.build_args:
                    reasons[name] = GIVEN_EMPTY
            elif name in self.variables:
                others.append(f"{name} is empty for {self.variables[name].origin}")
            else:
                wrong = True
                others.append(f"no ARG before the first FROM declares {name}")
        if reasons and not wrong:
            note = missing_arguments(reasons)
            return Note("; ".join([*others, note.text]), note.missing)
        others += [f"ARG {name} {reason}" for name, reason in reasons.items()]
        return Note("; ".join(others))

    def _leaves(self, lexer: Lexer) -> list[str]:
        """What a text needs and has no value: not what is made of it."""
        waiting = [*lexer.lacking]
        variables = [*lexer.used]
        seen: dict[str, None] = {}
        leaves: dict[str, None] = {}
        while waiting or variables:
            if variables:
                variable = variables.pop()
                if variable.lacks and variable.name not in seen:
                    seen[variable.name] = None
                    waiting += variable.lacking
                    variables += variable.uses
                continue
            name = waiting.pop(0)
            made = self.variables.get(name)
            if made is None or not made.lacks:
                leaves[name] = None
            else:
                variables.append(made)
        return list(leaves)[:_LEAVES_LIMIT]

    def _would_settle(
        self,
        names: Sequence[str],
        text: str,
        accepts: Callable[[str], bool],
        last: GlobalArg | None,
    ) -> bool:
        """Whether a text would be right if some variables had a value."""
        guesses = _PLATFORMS if accepts is is_platform else _IMAGES
        tries = [dict.fromkeys(names, guess) for guess in guesses]
        if "@" in text:
            tries.append({n: _DIGEST if re.search(rf"@\$\{{?{n}", text) else "x" for n in names})
        lexer = self._lexer.beside
        for given in tries:
            variables = self._predefined(self.build_args)
            variables |= {name: Variable(name, value, "") for name, value in given.items()}
            build_args = {**self.build_args, **given}
            try:
                for arg in self._args:
                    if arg is last:
                        break
                    variable = _declared(arg, variables, lexer, build_args)
                    if variable is not None:
                        variables[arg.name] = variable
                if accepts(lexer.expand(text, variables)):
                    return True
            except WordError:
                continue
        return False


@lru_cache(maxsize=256)  # the same few names stand in most files
def _stage_variable(target: str) -> Variable:
    return Variable(_STAGE, target or "default", "the target", automatic=True)


def _declared(
    arg: GlobalArg, variables: Mapping[str, Variable], lexer: Lexer, build_args: Mapping[str, str]
) -> Variable | None:
    """What an ARG before the first FROM sets; None if it sets nothing.

    Raises:
        WordError: For what BuildKit refuses.
    """
    name = arg.name
    if name in build_args:
        return Variable(name, build_args[name], "--build-arg")
    if arg.default is None:
        before = variables.get(name)
        # For the classic builder it has no value from here on.
        return before._replace(automatic=True) if before is not None else None
    value = lexer.expand(arg.default, variables)
    origin = f"ARG on line {arg.line}"
    if not lexer.used and not lexer.lacking:
        return Variable(name, value, origin)
    used, lacking = tuple(lexer.used), tuple(lexer.lacking)
    lacks = bool(lacking) or any(variable.lacks for variable in used)
    automatic = any(variable.automatic for variable in used)
    return Variable(name, value, origin, used, lacking, lacks, automatic)


def _anything(_text: str) -> bool:
    return True


@lru_cache(maxsize=1024)
def is_image(name: str) -> bool:
    try:
        parse_reference(name)
    except InvalidReference:
        return False
    return True


@lru_cache(maxsize=256)
def is_platform(text: str) -> bool:
    try:
        parse_platform(text)
    except ValueError:
        return False
    return True


def _check_date(text: str) -> None:
    try:
        integer(text or "0")
    except ValueError:
        raise InvalidBuildFile(0, f"invalid SOURCE_DATE_EPOCH: {text}") from None
