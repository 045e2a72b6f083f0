"""One Dockerfile, as the builder and as ACR's scanner read it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.dependencies.build_files import ImageUse
from rebuilder.core.dependencies.effects import Builder, Built
from rebuilder.core.dockerfile import Instruction, outline
from rebuilder.core.gaps.dockerfile import (
    ArgumentGap,
    ArgumentOfArgument,
    CaseOfStage,
    ContinuedFrom,
    CopyFrom,
    ExpansionForm,
    FileRefused,
    FirstDefaultWins,
    HeredocLine,
    LaterArgument,
    LineInside,
    MissedImage,
    NotSeen,
    OnBuild,
    OtherReading,
    PlatformArgument,
    PlatformFlag,
    RunMount,
    StageArgument,
    SyntaxImage,
    UndeclaredArgument,
    UnknownForm,
    UnusedStage,
    UnusedStageRun,
)
from rebuilder.core.gaps.gap import Gap
from rebuilder.core.gaps.scanner import Scan, SeenFrom, variables
from rebuilder.errors import InvalidBuildFile

SCRATCH = "docker.io/library/scratch"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PREDEFINED = re.compile(r"(?:TARGET|BUILD)(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT)|TARGETSTAGE")


def uses(build: Built) -> tuple[ImageUse, ...]:
    """Return what a build reads."""
    images = build.images.images if build.images is not None else ()
    syntax = build.builder.reads_syntax
    return tuple(use for use in images if syntax or use.kind is not Kind.FRONTEND)


def gaps_of_dockerfile(task: TaskId, build: Built, one: Scan) -> Iterator[Gap]:
    try:
        instructions = outline(build.content or b"")
    except InvalidBuildFile:
        instructions = ()
    reading = _Reading(task, build, one, instructions)
    yield from reading.gaps()


class _Reading:
    """One Dockerfile, as the builder and as the scanner read it."""

    def __init__(
        self, task: TaskId, build: Built, one: Scan, instructions: Sequence[Instruction]
    ) -> None:
        self._task = task
        self._build = build
        self._scan = one
        self._instructions = instructions
        self._at = {instruction.line: instruction for instruction in instructions}
        read = uses(build)
        self._read = read
        self._froms = {
            use.line: use.reference
            for use in read
            if use.kind is not Kind.FRONTEND and self._keyword(use.line) == "from"
        }
        self._known = {use.reference for use in read} | {use.reference.at(None) for use in read}
        self._lines = [instruction.line for instruction in instructions]
        # The first stage of each name, whatever its case.
        self._stages: dict[str, tuple[int, str]] = {}
        for instruction in instructions:
            words = instruction.text.split()
            if instruction.keyword == "from" and len(words) > 3:  # noqa: PLR2004 - FROM x AS y
                self._stages.setdefault(words[-1].lower(), (instruction.line, words[-1]))

    def _keyword(self, line: int) -> str:
        return self._at[line].keyword if line in self._at else ""

    def gaps(self) -> Iterator[Gap]:
        if self._build.refusal is not None:
            yield from self._refused(self._build.refusal)
            return
        if self._scan.refused is not None:
            yield self._not_understood(self._scan.refused)
        found = {seen.reference for seen in self._scan.seen if seen.reference is not None}
        for use in self._read:
            if use.line in self._froms or use.reference.at(None) in found:
                continue
            image = str(use.reference)
            where = (self._task, self._build.dockerfile, use.line, image)
            yield _missed(use.kind, self._keyword(use.line))(*where)
        for seen in self._scan.seen:
            gap = self._of_from(seen)
            if gap is not None:
                yield gap
        if self._scan.refused is None:
            seen_lines = {seen.line for seen in self._scan.seen}
            for line, reference in self._froms.items():
                if line not in seen_lines:
                    yield NotSeen(self._task, self._build.dockerfile, line, str(reference))

    def _refused(self, refusal: InvalidBuildFile) -> Iterator[Gap]:
        name = self._build.dockerfile
        yield FileRefused(self._task, name, refusal.line, refusal.problem)
        for seen in self._scan.seen:
            # The scanner may find an image where the builder finds none.
            if seen.line == refusal.line and seen.reference is not None:
                yield self._misread(seen, seen.word)
        if self._scan.refused is not None:
            yield self._not_understood(self._scan.refused)

    def _not_understood(self, line: int) -> Gap:
        text = (self._build.content or b"").decode(errors="replace").split("\n")[line - 1].strip()
        words = text.split()
        if len(words) > 1 and words[1].lower().startswith("--platform"):
            image = str(self._froms.get(line, words[2] if len(words) > 2 else text))  # noqa: PLR2004 - FROM, flag, image
            return PlatformFlag(self._task, self._build.dockerfile, line, image)
        return UnknownForm(self._task, self._build.dockerfile, line, text)

    def _of_from(self, seen: SeenFrom) -> Gap | None:
        name = self._build.dockerfile
        recorded = str(seen.reference or seen.image)
        if seen.reference is not None and seen.reference.repository == SCRATCH:
            return None
        if self._keyword(seen.line) != "from":
            place = bisect_left(self._lines, seen.line)
            heredoc = place > 0 and self._instructions[place - 1].heredoc
            inside = HeredocLine if heredoc else LineInside
            return inside(self._task, name, seen.line, recorded)
        meant = self._froms.get(seen.line)
        if meant is not None:
            right = seen.reference in (meant, meant.at(None))
            return None if right else self._misread(seen, str(meant))
        if seen.reference is None:
            return self._misread(seen, seen.word)
        if seen.reference in self._known:
            return None
        line, stage = self._stages.get(seen.image.lower(), (seen.line, ""))
        if line < seen.line:
            return CaseOfStage(self._task, name, seen.line, recorded, stage)
        classic = self._build.builder is Builder.CLASSIC
        kind = UnusedStageRun if classic else UnusedStage
        return kind(self._task, name, seen.line, recorded)

    def _misread(self, seen: SeenFrom, image: str) -> Gap:
        where = (self._task, self._build.dockerfile, seen.line, image, str(seen.reference or ""))
        if seen.word in ("\\", "`"):
            return ContinuedFrom(*where)
        for variable in variables(seen.word):
            if not _NAME.fullmatch(variable):
                return ExpansionForm(*where, variable)
            kind = self._argument(variable)
            if kind is not None:
                return kind(*where, variable)
        return OtherReading(*where)

    def _argument(self, name: str) -> type[ArgumentGap] | None:
        """Return what the scanner has wrong of a variable; None if nothing."""
        declared = [
            (number, position)
            for number, instruction in enumerate(self._instructions)
            if instruction.keyword == "arg"
            for position, word in enumerate(instruction.text.split()[1:])
            if word.partition("=")[0] == name
        ]
        first = next((n for n, i in enumerate(self._instructions) if i.keyword == "from"), 0)
        before = [position for number, position in declared if number < first]
        value = self._scan.values.get(name)
        if value is None:
            if any(before):
                return LaterArgument
            return PlatformArgument if _PREDEFINED.fullmatch(name) else None
        if not before:
            return UndeclaredArgument if name in self._build.arguments else StageArgument
        if name in self._build.arguments:
            return None
        if "$" in value:
            return ArgumentOfArgument
        return FirstDefaultWins if len(before) > 1 else None


def _missed(kind: Kind, keyword: str) -> type[MissedImage]:
    if kind is Kind.FRONTEND:
        return SyntaxImage
    return {"run": RunMount, "onbuild": OnBuild}.get(keyword, CopyFrom)
