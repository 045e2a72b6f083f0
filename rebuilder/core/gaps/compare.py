"""What ACR misses or has wrong of a task.

`find_gaps` compares three things: what a build of the file reads, what ACR's scanner makes of the
same file (`scanner`), and what is recorded. Then it looks at what ACR's own base image trigger does
with the record. It is pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import astuple

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import DOCKER_HUB
from rebuilder.core.acr.tasks import Kind, Makes, Task, TriggerType
from rebuilder.core.dependencies.build_files import ImageUse
from rebuilder.core.dependencies.effects import Builder, Effects, output_of
from rebuilder.core.gaps._reading import SCRATCH, gaps_of_dockerfile, uses
from rebuilder.core.gaps.dockerfile import (
    BareArgument,
    CommandBuild,
    Copied,
    InventedImage,
    MisreadImage,
    MissedImage,
    NeedsBuildkit,
    ToolImage,
)
from rebuilder.core.gaps.gap import Gap, NotCompared, NotKnown
from rebuilder.core.gaps.record import (
    NeverRan,
    NotRecordedYet,
    PinnedLooksMoving,
    RecordLost,
    StaleRecord,
    WrongKind,
)
from rebuilder.core.gaps.scanner import scan
from rebuilder.core.gaps.trigger import (
    BuildTimeNotFollowed,
    ForeignBase,
    GoneTag,
    MakesNothing,
    NoCredentials,
    TriggerOff,
)

_AZURE = re.compile(r"[a-z0-9-]+\.azurecr\.(?:io|cn|us)")
_MICROSOFT = frozenset({"mcr.microsoft.com", "mcr.azure.cn"})


def find_gaps(task: Task, files: BuildFiles, host: str, last_run: str | None) -> tuple[Gap, ...]:
    """What ACR misses or has wrong of a task, and what its trigger never does.

    Args:
        task: The task, with ACR's record as its dependencies.
        files: What its build files say.
        host: The login server of its registry.
        last_run: Its last successful run; None if none is known.
    """
    if not task.has_step:
        return ()
    effects = files.effects
    if effects is not None and (output := output_of(effects)).makes is Makes.NOTHING:
        return (MakesNothing(task.id, output.because),)
    found = [*_Comparison(task, files, host, last_run).gaps()]
    hidden = effects.placeholders if effects is not None else ()
    # What nobody can name is no evidence.
    kept = (gap for gap in found if not any(word in str(astuple(gap)) for word in hidden))
    return tuple(dict.fromkeys(kept))


class BuildFiles(Struct, frozen=True):
    """What is known of the build files of a task.

    Attributes:
        effects: What they say that its steps do; None if they cannot be read.
        name: The task file, for a person; "" if the task has none.
        problem: Why they cannot be read; None if they can.
        gone: The tags of base registries that it follows and that are there no more.
    """

    effects: Effects | None = None
    name: str = ""
    problem: str | None = None
    gone: tuple[ImageReference, ...] = ()

    def place(self, line: int) -> str:
        """Where something stands in the task file; nowhere, if the task has none."""
        return f"{self.name}, line {line}: " if self.name else ""


class _Comparison:
    def __init__(self, task: Task, files: BuildFiles, host: str, last_run: str | None) -> None:
        self._task = task
        self._id = task.id
        self._files = files
        self._host = host
        self._last_run = last_run
        effects = files.effects or Effects()
        self._effects = effects
        steps = {id(build): step.kind for step in effects.steps for build in step.builds}
        read = [build for build in effects.builds if build.content is not None]
        # ACR's scanner looks at build steps, and at no command.
        self._builds = [build for build in read if steps[id(build)] == "build"]
        self._commands = [build for build in read if steps[id(build)] != "build"]
        self._scans = [scan(b.content or b"", b.arguments, b.target) for b in self._builds]
        self._recorded = {
            d.reference: d.kind for d in task.dependencies if d.reference.repository != SCRATCH
        }
        self._recorded_names = {str(reference) for reference in self._recorded}
        self._predicted: dict[ImageReference, Kind] = {}
        for build, one in zip(self._builds, self._scans, strict=True):
            for reference, kind in () if build.bare_arguments else one.record().items():
                if reference.repository != SCRATCH:
                    known = self._predicted.get(reference, kind)
                    both = Kind.RUNTIME in (known, kind)
                    self._predicted[reference] = Kind.RUNTIME if both else kind
        self._read = [use for build in self._builds for use in uses(build)]
        self._unread = "; ".join(f"{b.dockerfile}: {b.unread}" for b in effects.builds if b.unread)
        names = {build.dockerfile for build in effects.builds if build.unread or build.refusal}
        self._unknown = [
            missed for missed in effects.unknown if missed.text not in names and not missed.tool
        ]

    def gaps(self) -> Iterator[Gap]:
        yield from self._of_the_record()
        for build, one in zip(self._builds, self._scans, strict=True):
            yield from filter(self._still_so, gaps_of_dockerfile(self._id, build, one))
        yield from self._of_commands()
        yield from self._of_kinds()
        yield from self._of_the_trigger()
        for reference in self._files.gone:
            yield GoneTag(self._id, str(reference))
        for missed in self._unknown:
            text = self._files.place(missed.line) + missed.text
            yield NotKnown(self._id, text, missed.reason)
        problem = self._files.problem or self._unread
        if problem:
            yield NotCompared(self._id, problem)

    def _of_commands(self) -> Iterator[Gap]:
        """Tell of what commands build, copy and run."""
        name = self._files.name
        of_builds = {use.reference for use in self._read}
        built = {use.reference for build in self._commands for use in uses(build)}
        for use in self._effects.images:
            if use.reference in of_builds or self._knows(use.reference):
                continue
            kind: type[MissedImage] = Copied
            if use.kind is Kind.TOOL:
                kind = ToolImage
            elif use.reference in built:
                kind = CommandBuild
            yield kind(self._id, name, use.line, str(use.reference))
        for build in self._effects.builds:
            for only in build.needs_buildkit if build.builder is Builder.CLASSIC else ():
                where = (self._id, build.dockerfile, only.line)
                yield NeedsBuildkit(*where, only.what, only.refused)
            for argument in build.bare_arguments:
                yield BareArgument(self._id, name, build.line, argument)

    @property
    def _followed(self) -> Mapping[ImageReference, Kind]:
        """What ACR's trigger follows, or will once the task has run."""
        return self._recorded or self._predicted

    def _knows(self, reference: ImageReference) -> bool:
        return reference in self._recorded or reference.at(None) in self._recorded

    def _still_so(self, gap: Gap) -> bool:
        """Tell whether the record bears out what the scanner is expected to do.

        The scanner may have been fixed since it was described here, and may be other than the
        one that a run used.
        """
        recorded = self._recorded_names
        if isinstance(gap, MissedImage | MisreadImage):
            return gap.image.partition("@")[0] not in recorded and gap.image not in recorded
        if isinstance(gap, InventedImage):
            return not recorded or gap.recorded in recorded
        return True

    def _of_the_record(self) -> Iterator[Gap]:
        fails = any(one.fails for one in self._scans)
        fails = fails or any(build.bare_arguments for build in self._builds)
        if not self._recorded:
            if self._last_run is None:
                yield NeverRan(self._id)
            elif self._predicted and not fails:
                yield RecordLost(self._id, self._last_run)
            return
        if self._files.problem is not None or self._unread or self._unknown or not self._read:
            # What is recorded may be what could not be read.
            return
        read = {use.reference.at(None) for use in self._read}
        read |= {use.reference for use in self._read}
        for reference in self._recorded:
            if reference not in self._predicted and reference not in read:
                yield StaleRecord(self._id, str(reference))
        for reference in self._predicted:
            if reference not in self._recorded and reference in read:
                yield NotRecordedYet(self._id, str(reference))

    def _of_kinds(self) -> Iterator[Gap]:
        by_name: dict[ImageReference, list[ImageUse]] = {}
        for use in self._read:
            for reference in {use.reference, use.reference.at(None)}:
                by_name.setdefault(reference, []).append(use)
        for reference, recorded in self._followed.items():
            uses = by_name.get(reference, [])
            kinds = {use.kind for use in uses}
            if kinds and recorded not in kinds:
                kind = next(k for k in Kind if k in kinds)
                yield WrongKind(self._id, str(reference), kind.value, recorded.value)
            if uses and all(u.reference != reference for u in uses):
                yield PinnedLooksMoving(self._id, str(uses[0].reference))

    def _of_the_trigger(self) -> Iterator[Gap]:
        task = self._task
        if not task.native_trigger:
            yield TriggerOff(self._id)
        for reference, kind in self._followed.items() if task.native_trigger else ():
            if kind is Kind.BUILD_TIME and task.trigger_type is TriggerType.RUNTIME:
                yield BuildTimeNotFollowed(self._id, str(reference))
            if not _is_followed(reference.domain, self._host):
                yield ForeignBase(self._id, str(reference))
        pulled = {d.reference.domain for d in task.dependencies if d.built_on is not None}
        read = {use.reference.domain for use in self._read} | {r.domain for r in self._followed}
        for domain in sorted(read - pulled - task.signs_in_to - {self._host}):
            if _AZURE.fullmatch(domain):
                yield NoCredentials(self._id, domain)


def _is_followed(domain: str, host: str) -> bool:
    """Tell whether ACR follows a registry.

    Source: learn.microsoft.com, "About base image updates for ACR Tasks", base image locations.
    """
    known = domain in (host, DOCKER_HUB) or domain in _MICROSOFT
    return known or _AZURE.fullmatch(domain) is not None
