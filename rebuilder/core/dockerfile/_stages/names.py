"""What stages are built on: global ARGs, what is predefined, and how names come out of them.

Source of the rules: BuildKit, `dockerfile2llb/convert.go` (buildMetaArgs, buildDispatchStates),
`dockerfile2llb/platform.go`, `dockerfile2llb/epoch.go`; of the classic builder: moby,
`daemon/builder/dockerfile` (initializeStage, processMetaArg, BuildArgs).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from rebuilder.core.dependencies.build_files import BuildKitOnly, UnknownImage
from rebuilder.core.dockerfile._instructions.commands import Stage
from rebuilder.core.dockerfile._platforms import parse_platform
from rebuilder.core.dockerfile._shell.lexer import Lexer
from rebuilder.core.dockerfile._shell.variables import Variable, WordError
from rebuilder.core.dockerfile._stages.arguments import GlobalArgs, is_image, is_platform
from rebuilder.core.dockerfile._stages.notes import Note, refusal
from rebuilder.core.dockerfile._stages.states import NAMELESS, SCRATCH
from rebuilder.core.dockerfile._text import parse_reference, short
from rebuilder.errors import InvalidBuildFile, InvalidReference

_WAY_LIMIT = 20
_ONE_VARIABLE = re.compile(r"\$(?:[A-Z]+|\{[A-Z]+\})").fullmatch
_WRITTEN_OUT = re.compile("[A-Za-z0-9@:/._-]+").fullmatch
_SIMPLE_NAME = 63


class Base(NamedTuple):
    """What a stage is built on.

    Attributes:
        name: Its name, expanded.
        way: How the text became that.
        system: The operating system of --platform; "" if it has none.
        note: What is told if the name names no image; None if there is nothing to tell.
    """

    name: str
    way: tuple[str, ...]
    system: str
    note: Callable[[], Note | None] | None


class Names:
    """What FROM names.

    Args:
        args: The ARGs before the first FROM, and what is predefined.
        lexer: Expands the words of the file.

    Attributes:
        args: The ARGs.
        unknown: The bases that only the build knows.
        needs_buildkit: What of the FROMs the classic builder reads otherwise.
    """

    __slots__ = ("_lexer", "args", "needs_buildkit", "unknown")

    def __init__(self, args: GlobalArgs, lexer: Lexer) -> None:
        self.args = args
        self._lexer = lexer
        self.unknown: list[UnknownImage] = []
        self.needs_buildkit: list[BuildKitOnly] = []

    def base_of(self, stage: Stage) -> Base:
        """What a stage is built on, and how the text became that.

        Raises:
            InvalidBuildFile: For what BuildKit refuses.
        """
        if stage.name:
            _check_name(stage)
        if not stage.platform and _WRITTEN_OUT(stage.base):
            return Base(stage.base, (short(f"FROM {stage.base}"),), "", None)
        lexer, note = self._lexer, None
        try:
            name = lexer.expand(stage.base, self.args.variables)
        except WordError as error:
            settled = self.args.settled(stage.base, is_image)
            raise refusal(stage.line, str(error), settled) from None
        used = lexer.used
        if lexer.unknown:
            reason = "SOURCE_DATE_EPOCH is a date of what the build is made of"
            self.unknown.append(UnknownImage(short(stage.base), stage.line, reason))
            name = NAMELESS
        elif not name:
            problem = f"base name ({stage.base}) should not be blank"
            raise refusal(stage.line, problem, self.args.settled(stage.base, is_image))
        lacks, automatic = bool(lexer.lacking), False
        for variable in used:
            lacks = lacks or variable.lacks
            automatic = automatic or variable.automatic
        if lacks:
            note = partial(self.args.settled, stage.base, is_image)
        system = self._system_of(stage) if stage.platform else ""
        way = short(f"FROM {stage.base}")
        if not used:
            return Base(name, (way,), system, note)
        if name and automatic:
            self._compare(stage, name, used)
        return Base(name, (way, *_steps(used, name)), system, note)

    def _system_of(self, stage: Stage) -> str:
        """The operating system of --platform."""
        try:
            platform = self._lexer.expand(stage.platform, self.args.variables)
        except WordError as error:
            note = self.args.settled(stage.platform, is_platform)
            raise refusal(stage.line, str(error), note) from None
        used = self._lexer.used
        problem = f"empty platform value from expression {stage.platform}"
        try:
            system = _system(platform) if platform else ""
        except ValueError as error:
            problem = f"failed to parse platform {stage.platform}: {error}"
            system = ""
        if not system:
            raise refusal(stage.line, problem, self.args.settled(stage.platform, is_platform))
        if any(variable.automatic for variable in used):
            self._compare_platform(stage, used)
        return system

    def _compare(self, stage: Stage, name: str, used: Sequence[Variable]) -> None:
        """See whether the classic builder builds a stage on something else."""
        other = "" if _alone(stage.base, used) else self.args.by_classic_builder(stage.base)
        if other != name:
            what = f"FROM {stage.base}: only BuildKit knows {_automatic_among(used)}"
            refused = not other or not is_image(other)
            self.needs_buildkit.append(BuildKitOnly(stage.line, short(what), refused))

    def _compare_platform(self, stage: Stage, used: Sequence[Variable]) -> None:
        other = "" if _alone(stage.platform, used) else self.args.by_classic_builder(stage.platform)
        if not other or not is_platform(other):
            what = f"FROM --platform={stage.platform}: only BuildKit knows {_automatic_among(used)}"
            self.needs_buildkit.append(BuildKitOnly(stage.line, short(what), refused=True))


@lru_cache(maxsize=256)  # the same few platforms stand in most files
def _system(platform: str) -> str:
    return parse_platform(platform).os


def _check_name(stage: Stage) -> None:
    """See whether the name of a stage may name an image, too: it may stand for a named context.

    Raises:
        InvalidBuildFile: If it may not.
    """
    name = stage.name
    if (name.isalnum() and len(name) <= _SIMPLE_NAME) or name in (SCRATCH, "context"):
        return
    try:
        parse_reference(name)
    except InvalidReference as error:
        problem = f"invalid context name {name}: invalid reference format: {error.problem}"
        raise InvalidBuildFile(stage.line, problem) from None


def _alone(text: str, used: Sequence[Variable]) -> bool:
    """Whether a text is nothing but a variable that only BuildKit gives a value."""
    return not used[0].uses and _ONE_VARIABLE(text) is not None


def _automatic_among(used: Sequence[Variable]) -> str:
    """The names of the variables that only BuildKit gives a value."""
    names: dict[str, None] = {}
    waiting = list(used)
    for variable in waiting:
        if not variable.automatic or variable.name in names:
            continue
        if any(use.automatic for use in variable.uses):
            waiting += variable.uses[: _WAY_LIMIT - len(waiting)]
        else:
            names[variable.name] = None
    return ", ".join(names)


def _steps(used: Sequence[Variable], result: str) -> list[str]:
    """Where the values of variables are from, and those that they are made of."""
    steps: dict[str, None] = {}
    waiting = list(used)
    while waiting and len(steps) < _WAY_LIMIT:
        variable = waiting.pop(0)
        # A value that does not show in the name is nobody's business.
        shown = f"={variable.value}" if variable.value in result else ""
        steps[short(f"{variable.name}{shown}") + f" from {variable.origin}"] = None
        waiting += variable.uses
    return list(steps)
