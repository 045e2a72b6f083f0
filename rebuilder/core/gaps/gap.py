"""What ACR's own record of a task misses or has wrong, and why: one small type per reason.

`find_gaps` compares three things: what a build of the file reads, what ACR's scanner makes of the
same file (`scanner`), and what is recorded. Then it looks at what ACR's own base image trigger does
with the record. It is pure.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import asdict

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import DOCKER_HUB, TaskId
from rebuilder.core.acr.tasks import Kind, Makes, Task, TriggerType
from rebuilder.core.dependencies.build_files import BuildKitOnly, ImageUse
from rebuilder.core.dependencies.effects import (
    Builder,
    Built,
    Effects,
    bare_argument,
    output_of,
    without_buildkit,
)
from rebuilder.core.dockerfile import Instruction, outline
from rebuilder.core.gaps.scanner import Scan, SeenFrom, scan, variables
from rebuilder.errors import InvalidBuildFile

_SCRATCH = "docker.io/library/scratch"
_AZURE = re.compile(r"[a-z0-9-]+\.azurecr\.(?:io|cn|us)")
_MICROSOFT = frozenset({"mcr.microsoft.com", "mcr.azure.cn"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PREDEFINED = re.compile(r"(?:TARGET|BUILD)(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT)|TARGETSTAGE")
_FAILS = "what is left is no image, so the run fails and nothing is recorded"


class Gap(Struct, frozen=True):
    """What ACR does not know of a task, or does not do. Each reason is a subclass.

    Attributes:
        task: The task.
    """

    code: ClassVar[str]
    counts: ClassVar[bool] = True
    """Whether it is something that ACR misses or has wrong; else it is a remark."""

    task: TaskId

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        raise NotImplementedError


# The record as a whole.


class NeverRan(Gap, frozen=True):
    """The task has not run successfully, so nothing is recorded."""

    code: ClassVar[str] = "never-ran"

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            "ACR learns what a task is built on from a successful run, and none is known:"
            " its trigger follows nothing"
        )


class RecordLost(Gap, frozen=True):
    """The task has run successfully, and nothing is recorded.

    Attributes:
        run: The run.
    """

    code: ClassVar[str] = "record-lost"
    run: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"run {self.run} succeeded and ACR has no record of it, as after a deployment that"
            " writes the task anew: its trigger follows nothing until the next run"
        )


class StaleRecord(Gap, frozen=True):
    """The record names an image that the file does not, and that the scanner would not find.

    Attributes:
        recorded: The image.
    """

    code: ClassVar[str] = "stale-record"
    recorded: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"ACR has recorded {self.recorded}, which the build does not read any more: the file,"
            " its arguments or its values have changed since the last run"
        )


class NotRecordedYet(Gap, frozen=True):
    """The file names an image that the record does not, and that the scanner would find.

    Attributes:
        image: The image.
    """

    code: ClassVar[str] = "not-recorded-yet"
    image: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"ACR has not recorded {self.image}, which the build reads now: the file, its arguments"
            " or its values have changed since the last run"
        )


class WrongKind(Gap, frozen=True):
    """The record has the image, but not what it is used for.

    Attributes:
        image: The image.
        kind: What it is used for.
        recorded: What the record says.
    """

    code: ClassVar[str] = "wrong-kind"
    image: str
    kind: str
    recorded: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"{self.image} is a {self.kind} image, which ACR records as {self.recorded}"


class PinnedLooksMoving(Gap, frozen=True):
    """The file pins a tag to a digest, which the record cannot say.

    Attributes:
        image: The image with tag and digest.
    """

    code: ClassVar[str] = "pinned-looks-moving"
    image: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"{self.image} is pinned to its digest; ACR records the digest as one that a run used,"
            " and builds in vain whenever the tag moves"
        )


# Lines of a build file.


class LineGap(Gap, frozen=True):
    """Something about a line of a build file.

    Attributes:
        file: The file.
        line: The line, counted from 1; 0 for the file as a whole.
    """

    file: str
    line: int

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{place}: {self.why()}"

    def why(self) -> str:
        """The reason without the place."""
        raise NotImplementedError


class FileRefused(LineGap, frozen=True):
    """The file is refused: by the builder, or because it is larger than this product reads.

    Attributes:
        problem: Why.
    """

    code: ClassVar[str] = "file-refused"
    problem: str

    def why(self) -> str:
        """The reason without the place."""
        return f"refused: {self.problem}"


class UnknownForm(LineGap, frozen=True):
    """A FROM or an ARG in a form that the scanner does not understand.

    Attributes:
        text: The line.
    """

    code: ClassVar[str] = "unknown-form"
    text: str

    def why(self) -> str:
        """The reason without the place."""
        return f"ACR's scanner does not understand {self.text!r}, so the run fails"


class BareArgument(LineGap, frozen=True):
    """A build step's `--build-arg NAME`, which has no value.

    Attributes:
        name: The argument.
    """

    code: ClassVar[str] = "argument-without-value"
    name: str

    def why(self) -> str:
        """The reason without the place."""
        return bare_argument(self.name)


class MissedImage(LineGap, frozen=True):
    """An image that the build reads and the scanner does not look for.

    Attributes:
        image: The image.
    """

    image: str


class PlatformFlag(MissedImage, frozen=True):
    """`FROM --platform` makes the scanner fail, and the run with it."""

    code: ClassVar[str] = "platform-flag"

    def why(self) -> str:
        """The reason without the place."""
        return (
            f"ACR's scanner does not understand FROM --platform, so the run fails and"
            f" {self.image} is not recorded"
        )


class CopyFrom(MissedImage, frozen=True):
    """`COPY --from` of an image is not looked at."""

    code: ClassVar[str] = "copy-from"

    def why(self) -> str:
        """The reason without the place."""
        return f"ACR's scanner does not look at COPY --from, so {self.image} is not recorded"


class RunMount(MissedImage, frozen=True):
    """`RUN --mount=from` an image is not looked at."""

    code: ClassVar[str] = "run-mount"

    def why(self) -> str:
        """The reason without the place."""
        return f"ACR's scanner does not look at RUN --mount=from, so {self.image} is not recorded"


class SyntaxImage(MissedImage, frozen=True):
    """The image that reads the Dockerfile is not looked at."""

    code: ClassVar[str] = "syntax-image"

    def why(self) -> str:
        """The reason without the place."""
        return f"ACR's scanner does not look at # syntax, so {self.image} is not recorded"


class OnBuild(MissedImage, frozen=True):
    """What an ONBUILD of an earlier stage reads is not looked at."""

    code: ClassVar[str] = "onbuild"

    def why(self) -> str:
        """The reason without the place."""
        return f"ACR's scanner does not look at ONBUILD, so {self.image} is not recorded"


class CommandBuild(MissedImage, frozen=True):
    """An image that a build in a cmd step reads."""

    code: ClassVar[str] = "command-build"

    def why(self) -> str:
        """The reason without the place."""
        return f"ACR scans build steps only, so {self.image}, which a command builds on, is missing"


class Copied(MissedImage, frozen=True):
    """An image that the task copies."""

    code: ClassVar[str] = "copied"

    def why(self) -> str:
        """The reason without the place."""
        return f"ACR scans build steps only, so {self.image}, which is copied, is not recorded"


class ToolImage(MissedImage, frozen=True):
    """An image that a command runs; no image is made of it."""

    code: ClassVar[str] = "tool"
    counts: ClassVar[bool] = False

    def why(self) -> str:
        """The reason without the place."""
        return f"{self.image} is a tool that a command runs: no image is made of it"


class NeedsBuildkit(LineGap, frozen=True):
    """Something that is for BuildKit, on a step that gets the classic builder.

    Attributes:
        what: What it is.
        fails: Whether every classic builder refuses it, so that the run fails.
    """

    code: ClassVar[str] = "needs-buildkit"
    counts: ClassVar[bool] = False
    what: str
    fails: bool

    def why(self) -> str:
        """The reason without the place."""
        only = BuildKitOnly(self.line, self.what, self.fails)
        verb = "needs" if self.fails else "is for"
        return f"{self.what} {verb} BuildKit, and {without_buildkit(only)}"


class NotSeen(MissedImage, frozen=True):
    """A FROM that the scanner does not reach."""

    code: ClassVar[str] = "not-seen"

    def why(self) -> str:
        """The reason without the place."""
        return f"ACR's scanner does not come to this line, so {self.image} is not recorded"


class MisreadImage(LineGap, frozen=True):
    """A FROM whose image the scanner reads wrong.

    Attributes:
        image: The image; as it stands in the file, if the build does not read it.
        recorded: What the scanner makes of it; "" if that is no image, so that the run fails.
    """

    image: str
    recorded: str

    def why(self) -> str:
        """The reason without the place."""
        so = f"it records {self.recorded}, not {self.image}" if self.recorded else _FAILS
        return f"{self.cause()}; {so}"

    def cause(self) -> str:
        """What the scanner does not know."""
        raise NotImplementedError


class ContinuedFrom(MisreadImage, frozen=True):
    """A FROM that goes on in the next line."""

    code: ClassVar[str] = "continued-from"

    def cause(self) -> str:
        """What the scanner does not know."""
        return "ACR's scanner reads line by line, and this FROM goes on in the next one"


class ExpansionForm(MisreadImage, frozen=True):
    """A variable in another form than $NAME and ${NAME}.

    Attributes:
        form: What stands in the braces.
    """

    code: ClassVar[str] = "expansion-form"
    form: str

    def cause(self) -> str:
        """What the scanner does not know."""
        return f"ACR's scanner takes ${{{self.form}}} for a variable of that name, which is empty"


class ArgumentGap(MisreadImage, frozen=True):
    """A variable whose value the scanner does not know, or has wrong.

    Attributes:
        name: The variable.
    """

    name: str


class ArgumentOfArgument(ArgumentGap, frozen=True):
    """An ARG whose default names another variable."""

    code: ClassVar[str] = "argument-of-argument"

    def cause(self) -> str:
        """What the scanner does not know."""
        return f"ACR's scanner does not expand the default of ARG {self.name}"


class LaterArgument(ArgumentGap, frozen=True):
    """An ARG that is not the first of its line."""

    code: ClassVar[str] = "later-argument"

    def cause(self) -> str:
        """What the scanner does not know."""
        return f"ACR's scanner reads only the first name of an ARG line, not {self.name}"


class FirstDefaultWins(ArgumentGap, frozen=True):
    """An ARG that stands twice: the last default counts, and the scanner keeps the first."""

    code: ClassVar[str] = "first-default-wins"

    def cause(self) -> str:
        """What the scanner does not know."""
        return f"ARG {self.name} stands twice, and ACR's scanner keeps the first default"


class StageArgument(ArgumentGap, frozen=True):
    """An ARG inside a stage, which FROM does not know, but the scanner does."""

    code: ClassVar[str] = "stage-argument"

    def cause(self) -> str:
        """What the scanner does not know."""
        return (
            f"ARG {self.name} stands inside a stage, so FROM does not know it; ACR's scanner"
            " takes its value all the same"
        )


class UndeclaredArgument(ArgumentGap, frozen=True):
    """A build argument without an ARG, which FROM does not know, but the scanner does."""

    code: ClassVar[str] = "undeclared-argument"

    def cause(self) -> str:
        """What the scanner does not know."""
        return (
            f"no ARG before the first FROM declares {self.name}, so FROM does not know it; ACR's"
            " scanner takes the build argument all the same"
        )


class PlatformArgument(ArgumentGap, frozen=True):
    """A variable that the builder sets by itself."""

    code: ClassVar[str] = "platform-argument"

    def cause(self) -> str:
        """What the scanner does not know."""
        return f"ACR's scanner does not know {self.name}, which the builder sets itself"


class OtherReading(MisreadImage, frozen=True):
    """A FROM that the scanner reads otherwise, for a reason that has no type of its own."""

    code: ClassVar[str] = "other-reading"

    def cause(self) -> str:
        """What the scanner does not know."""
        return (
            "ACR's scanner knows no quotes inside a word, no escapes and no other forms of a name"
        )


class InventedImage(LineGap, frozen=True):
    """An image that the build does not read, and the scanner finds.

    Attributes:
        recorded: The image.
    """

    recorded: str


class CaseOfStage(InventedImage, frozen=True):
    """A stage in another case is an image to the scanner.

    Attributes:
        stage: The stage as it is declared.
    """

    code: ClassVar[str] = "case-of-stage"
    stage: str

    def why(self) -> str:
        """The reason without the place."""
        return (
            f"the stage {self.stage} is written in another case, so ACR's scanner takes it for an"
            f" image and records {self.recorded}"
        )


class HeredocLine(InventedImage, frozen=True):
    """A line of a heredoc that begins with FROM."""

    code: ClassVar[str] = "heredoc-line"

    def why(self) -> str:
        """The reason without the place."""
        return (
            "the line stands in a heredoc; ACR's scanner takes it for an instruction and records"
            f" {self.recorded}"
        )


class LineInside(InventedImage, frozen=True):
    """A line inside another instruction that begins with FROM."""

    code: ClassVar[str] = "line-inside"

    def why(self) -> str:
        """The reason without the place."""
        return (
            "the line goes on with another instruction; ACR's scanner takes it for one of its own"
            f" and records {self.recorded}"
        )


class UnusedStage(InventedImage, frozen=True):
    """A stage that the target does not need, on a step that gets BuildKit."""

    code: ClassVar[str] = "unused-stage"

    def why(self) -> str:
        """The reason without the place."""
        return (
            f"nothing needs this stage, so BuildKit does not read {self.recorded}; ACR records it"
        )


class UnusedStageRun(InventedImage, frozen=True):
    """A stage that the target does not need, and that the classic builder runs all the same."""

    code: ClassVar[str] = "unused-stage-run"
    counts: ClassVar[bool] = False

    def why(self) -> str:
        """The reason without the place."""
        return (
            f"nothing needs this stage; the classic builder, which the step gets, pulls"
            f" {self.recorded} all the same, and the run fails if it is gone"
        )


# What ACR's trigger does with the record.


class TriggerOff(Gap, frozen=True):
    """The task has no base image trigger, or it is disabled."""

    code: ClassVar[str] = "trigger-off"
    counts: ClassVar[bool] = False

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return "its own base image trigger is off, so ACR itself rebuilds it for no image"


class BuildTimeNotFollowed(Gap, frozen=True):
    """An image of build time, and a trigger that asks for those of runtime.

    Attributes:
        image: The image.
    """

    code: ClassVar[str] = "build-time-not-followed"
    image: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"its trigger asks for Runtime, so ACR never rebuilds it for {self.image}"


class ForeignRegistry(Gap, frozen=True):
    """An image of a registry that ACR does not follow.

    Attributes:
        image: The image.
    """

    code: ClassVar[str] = "foreign-registry"
    image: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            "ACR follows Azure container registries, Docker Hub and Microsoft's registry, so it"
            f" never rebuilds for {self.image}"
        )


class NoCredentials(Gap, frozen=True):
    """The task reads an image of another registry, for which it has no credentials.

    Attributes:
        host: The registry's login server.
    """

    code: ClassVar[str] = "no-credentials"
    host: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"the task has no credentials for {self.host}: unless that lets anybody pull, its"
            " runs fail"
        )


class GoneTag(Gap, frozen=True):
    """A tag that the task follows and that is not in its registry.

    Attributes:
        image: The tag.
    """

    code: ClassVar[str] = "gone-tag"
    image: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"{self.image} is not in its registry any more: the task follows a tag that is gone,"
            " and its next run fails"
        )


class MakesNothing(Gap, frozen=True):
    """The task makes no image, so nothing is missed by not rebuilding it.

    Attributes:
        because: How that is known.
    """

    code: ClassVar[str] = "makes-nothing"
    counts: ClassVar[bool] = False
    because: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"it makes no image ({self.because}), so there is nothing to rebuild"


# What could not be found out.


class NotCompared(Gap, frozen=True):
    """The build file could not be read, so the record was compared with nothing.

    Attributes:
        problem: Why.
    """

    code: ClassVar[str] = "not-compared"
    counts: ClassVar[bool] = False
    problem: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"not compared with the build file: {self.problem}"


class NotKnown(Gap, frozen=True):
    """An image that the file alone does not tell.

    Attributes:
        text: What stands in the file, with its place.
        reason: What would have to be known.
    """

    code: ClassVar[str] = "not-known"
    counts: ClassVar[bool] = False
    text: str
    reason: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"not compared: {self.text}: {self.reason}"


def to_record(gap: Gap) -> dict[str, Any]:
    """The gap as JSON values: code, sentence, and every field of its type but the task."""
    values = {name: value for name, value in asdict(gap).items() if name != "task"}
    return {"code": gap.code, "counts": gap.counts, "sentence": gap.sentence(), **values}


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
    kept = dict.fromkeys(gap for gap in found if not any(word in repr(gap) for word in hidden))
    return tuple(kept)


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
            d.reference: d.kind for d in task.dependencies if d.reference.repository != _SCRATCH
        }
        self._recorded_names = {str(reference) for reference in self._recorded}
        self._predicted: dict[ImageReference, Kind] = {}
        for build, one in zip(self._builds, self._scans, strict=True):
            for reference, kind in () if build.bare_arguments else one.record().items():
                if reference.repository != _SCRATCH:
                    known = self._predicted.get(reference, kind)
                    both = Kind.RUNTIME in (known, kind)
                    self._predicted[reference] = Kind.RUNTIME if both else kind
        self._read = [use for build in self._builds for use in _uses(build)]
        self._unread = "; ".join(f"{b.dockerfile}: {b.unread}" for b in effects.builds if b.unread)
        names = {build.dockerfile for build in effects.builds if build.unread or build.refusal}
        self._unknown = [
            missed for missed in effects.unknown if missed.text not in names and not missed.tool
        ]

    def gaps(self) -> Iterator[Gap]:
        yield from self._of_the_record()
        for build, one in zip(self._builds, self._scans, strict=True):
            yield from filter(self._still_so, _of_dockerfile(self._id, build, one))
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
        built = {use.reference for build in self._commands for use in _uses(build)}
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

        The scanner may have been mended since it was described here, and may be other than the
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
                yield ForeignRegistry(self._id, str(reference))
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


def _uses(build: Built) -> tuple[ImageUse, ...]:
    """Return what a build reads."""
    images = build.images.images if build.images is not None else ()
    syntax = build.builder.reads_syntax
    return tuple(use for use in images if syntax or use.kind is not Kind.FRONTEND)


def _of_dockerfile(task: TaskId, build: Built, one: Scan) -> Iterator[Gap]:
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
        read = _uses(build)
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
        if seen.reference is not None and seen.reference.repository == _SCRATCH:
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


def counted(gaps: Iterable[Gap]) -> int:
    """How many gaps are more than remarks."""
    return sum(gap.counts for gap in gaps)


def not_compared(gaps: Iterable[Gap]) -> bool:
    """Whether there may be more gaps than were found."""
    return any(isinstance(gap, NotCompared | NotKnown) for gap in gaps)
