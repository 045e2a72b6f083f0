"""Whether a task must be rebuilt after a push, and why: one small type per reason.

`decide` compares what a task's image was built on with what a tag names now. It is pure: the same
task and base give the same decision, so a decision can be explained, repeated and tested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal

from msgspec import Struct
from msgspec.structs import asdict

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Dependency, Kind, Makes, RunStatus, Task, TriggerType

# Where the digest that a tag names now is known from.
type KnownFrom = Literal["registry", "event", "poll"]

_RECORD = "ACR's record"


class RebuildFor(StrEnum):
    """For which of the images that a build reads its task is rebuilt.

    ALL: every one, whatever for: also one that only a thrown-away stage, COPY --from,
        RUN --mount=from or the syntax line names. What a build reads may change what it makes.
    RUNTIME: the base of the image that is built, and no other.
    TRIGGER: what the task's own base image trigger asks for: Runtime leaves build-time images
        out; All, or no such trigger at all, leaves none out. The Azure CLI makes triggers of
        type Runtime unless it is told otherwise.
    """

    ALL = "all"
    RUNTIME = "runtime"
    TRIGGER = "trigger"


class Tool(Struct, frozen=True):
    """A tool that an operator takes for a reason to run a task again.

    Attributes:
        task: The task, as `REGISTRY/TASK` in lower case.
        image: The image that its steps run.
    """

    task: str
    image: ImageReference


class Policy(Struct, frozen=True):
    """For which images tasks are rebuilt.

    Attributes:
        rebuild_for: For which of the images that a build reads.
        tools: Tools that count although no image is made of them, each for one task.
    """

    rebuild_for: RebuildFor = RebuildFor.ALL
    tools: frozenset[Tool] = frozenset()

    def names_tool(self, task: TaskId, dependency: Dependency) -> bool:
        """Whether a dependency is a tool that counts for a task."""
        if dependency.kind is not Kind.TOOL or not self.tools:
            return False
        name = f"{task.registry.name}/{task.name}".lower()
        return Tool(name, dependency.reference) in self.tools


class Base(Struct, frozen=True):
    """A tag of a base registry and the digest it names now.

    Attributes:
        reference: Registry, repository and tag, without digest.
        digest: What the tag names.
        known_from: The registry itself, the event that told of it, or the poll of a foreign
            registry.
        since: When the digest first came to the registry, if known.
    """

    reference: ImageReference
    digest: str
    known_from: KnownFrom
    since: datetime | None = None


class Decision(Struct, frozen=True):
    """What was decided after one push. Each reason is a subclass."""

    rebuild: ClassVar[bool] = False
    code: ClassVar[str]

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        raise NotImplementedError


class TaskDecision(Decision, frozen=True):
    """What was decided for one task.

    Attributes:
        task: The task.
    """

    task: TaskId


class BaseMoved(TaskDecision, frozen=True):
    """The tag names another digest than the image was built on: rebuild.

    Attributes:
        dependency: The base image as the task names it.
        kind: What the task uses it for.
        old: The digest that the image was built on; None if nothing is recorded.
        new: The digest that the tag names now.
        known_from: Where the new digest is known from.
        source: Who says that the task is built on the image.
    """

    rebuild: ClassVar[bool] = True
    code: ClassVar[str] = "base-moved"
    dependency: str
    kind: str
    old: str | None
    new: str
    known_from: str
    source: str = _RECORD

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        was = f"was built on {self.old}" if self.old else "has no record of the digest it used"
        return (
            f"its {self.kind} base {self.dependency} (known from {self.source}) {was};"
            f" the tag names {self.new} now (from the {self.known_from})"
        )


class BuiltWhileMoving(TaskDecision, frozen=True):
    """The record names the new digest, but the run began before that digest existed: rebuild.

    BuildKit runs record the digest that the tag names at their end, not the one they pulled.

    Attributes:
        dependency: The base image as the task names it.
        digest: The digest that is recorded.
        started: When the run that recorded it began.
        since: When the digest came to the registry.
        source: Who recorded it.
    """

    rebuild: ClassVar[bool] = True
    code: ClassVar[str] = "built-while-moving"
    dependency: str
    digest: str
    started: datetime
    since: datetime
    source: str = _RECORD

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"{self.dependency} is recorded as {self.digest} ({self.source}), which came at"
            f" {self.since.isoformat()}, after the last build began ({self.started.isoformat()})"
        )


class AlreadyBuiltOn(TaskDecision, frozen=True):
    """The image is built on what the tag names now.

    Attributes:
        dependency: The base image as the task names it.
        digest: The digest.
        known_from: ARM's record of the task, the ledger of rebuilds, or another source.
    """

    code: ClassVar[str] = "already-built-on"
    dependency: str
    digest: str
    known_from: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"already built on {self.dependency} at {self.digest} (from the {self.known_from})"


class StillStale(TaskDecision, frozen=True):
    """A rebuild on what the tag names succeeded, and its image stands on another base: rebuild.

    Attributes:
        dependency: The base image as the task names it.
        digest: What the tag names, and the rebuild was on.
        rebuild_id: That rebuild.
        run: Its run, if it has one.
        reason: What was found, and the likely cause.
    """

    rebuild: ClassVar[bool] = True
    code: ClassVar[str] = "still-stale"
    dependency: str
    digest: str
    rebuild_id: str
    run: str | None
    reason: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        run = f"run {self.run}" if self.run else f"rebuild {self.rebuild_id}"
        return (
            f"{run} was for {self.dependency} at {self.digest}, and is to be made again:"
            f" {self.reason}"
        )


class RebuildUnderWay(TaskDecision, frozen=True):
    """A rebuild on the same digests was claimed and is not over.

    Attributes:
        rebuild_id: The rebuild.
        run: Its run, if it has one by now.
    """

    code: ClassVar[str] = "rebuild-under-way"
    rebuild_id: str
    run: str | None

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        run = f"run {self.run}" if self.run else "not scheduled yet"
        return f"a rebuild on these digests is under way ({run}, rebuild {self.rebuild_id})"


class RebuildFailed(TaskDecision, frozen=True):
    """Rebuilds on the same digests were tried and given up; a newer digest is tried again.

    Attributes:
        rebuild_id: The last one.
        run: Its run, if it had one.
        outcome: How it ended.
        attempts: How many there were.
        advice: What to do about it, if it is known.
        cause: Why the last one failed, as far as its log tells.
    """

    code: ClassVar[str] = "rebuild-failed"
    rebuild_id: str
    run: str | None
    outcome: str
    attempts: int = 1
    advice: str | None = None
    cause: str | None = None

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        run = f"run {self.run}" if self.run else "it was not scheduled"
        told = "; ".join(filter(None, (self.outcome, self.cause, self.advice)))
        return (
            f"a rebuild on these digests was given up after {self.attempts} attempt"
            f"{'s' * (self.attempts > 1)} ({run}): {told}; a newer digest is tried again, and"
            " `rebuilder retry` tries this one"
        )


class Circle(TaskDecision, frozen=True):
    """The image was pushed because of a rebuild of the task itself: it would go on for ever.

    Attributes:
        dependency: The image as the task names it.
        digest: The digest that came around.
        chain: The tasks whose rebuilds led to it, oldest first.
    """

    code: ClassVar[str] = "circle"
    dependency: str
    digest: str
    chain: tuple[str, ...]

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        names = " -> ".join(task.rpartition("/tasks/")[2] for task in (*self.chain, str(self.task)))
        return (
            f"{self.dependency} at {self.digest} was built because this task was: {names} is a"
            " circle, and is gone through once"
        )


class TaskUnreadable(TaskDecision, frozen=True):
    """The task may not be read, so nothing can be decided.

    Attributes:
        problem: Why, and what would help.
    """

    code: ClassVar[str] = "task-unreadable"
    problem: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"the task could not be read: {self.problem}"


class OwnOutput(TaskDecision, frozen=True):
    """The image was pushed by the task's own last rebuild: to build on it again would never end.

    Attributes:
        dependency: The image as the task names it.
        digest: The digest that the task pushed itself.
        run: The run that pushed it.
    """

    code: ClassVar[str] = "own-output"
    dependency: str
    digest: str
    run: str | None

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"it pushed {self.dependency} at {self.digest} itself (run {self.run}); rebuilt for"
            " its own output, it would be rebuilt for ever"
        )


class OtherImages(TaskDecision, frozen=True):
    """The task is built on other images only.

    Attributes:
        dependencies: Those images.
    """

    code: ClassVar[str] = "other-images"
    dependencies: tuple[str, ...]

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"built on other images: {', '.join(self.dependencies)}"


class NotAllKnown(TaskDecision, frozen=True):
    """No image that the task is known to read has moved; what else it reads is not known.

    Attributes:
        dependencies: What it is known to read.
        unread: Why more may be read.
    """

    code: ClassVar[str] = "not-all-known"
    dependencies: tuple[str, ...]
    unread: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        known = ", ".join(self.dependencies) or "no image"
        return (
            f"known to be built on {known}; whether it reads this image, too, is not known:"
            f" {self.unread}"
        )


class MakesNoImage(TaskDecision, frozen=True):
    """Runs of the task leave no image behind, so no image that moves is a reason to run it.

    Attributes:
        dependency: The image as the task names it; "" if it does not use it.
        kind: What the task uses it for; "" if it does not use it.
        because: How it is known that it makes none.
    """

    code: ClassVar[str] = "makes-no-image"
    dependency: str
    kind: str
    because: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        found = f"it makes no image ({self.because})"
        return f"{found}; {self.dependency} is a {self.kind} image of it" if self.kind else found


class OutputUnknown(TaskDecision, frozen=True):
    """Whether runs of the task make an image is not known, so it is not run.

    Attributes:
        dependency: The image as the task names it.
        because: Why it is not known.
    """

    code: ClassVar[str] = "output-unknown"
    dependency: str
    because: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"it reads {self.dependency}, but whether it makes an image is not known, and one that"
            f" makes none is not to be run: {self.because}"
        )


class ValueNotGiven(TaskDecision, frozen=True):
    """The task's steps need values that it does not give, so a run of it cannot be meant to work.

    Attributes:
        names: The values.
        arguments: Build arguments that have none.
    """

    code: ClassVar[str] = "value-not-given"
    names: tuple[str, ...]
    arguments: tuple[str, ...] = ()

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return "; ".join(filter(None, (self._of_values(), self._of_arguments())))

    def _of_values(self) -> str:
        if not self.names:
            return ""
        names = ", ".join(self.names)
        settings = " ".join(f"--set {name}=..." for name in self.names)
        registry, name = self.task.registry.name, self.task.name
        many = len(self.names) > 1
        return (
            f"value{'s' * many} {names} {'are' if many else 'is'} given by no `--set` of the task;"
            f" runs of it need `az acr task run --registry {registry} --name {name} {settings}`,"
            f" or `az acr task update --registry {registry} --name {name} {settings}` gives"
            f" {'them' if many else 'it'} once and for all"
        )

    def _of_arguments(self) -> str:
        if not self.arguments:
            return ""
        names = ", ".join(self.arguments)
        settings = " ".join(f"--arg {name}=..." for name in self.arguments)
        registry, name = self.task.registry.name, self.task.name
        return (
            f"the Dockerfile cannot be built without a value for the build argument {names};"
            f" `az acr task update --registry {registry} --name {name} {settings}` gives it, or"
            " `--build-arg` in the task's file"
        )


class ToolOnly(TaskDecision, frozen=True):
    """The task runs the image, and makes no image out of it.

    Attributes:
        dependency: The image as the task names it.
        source: Who says that the task runs it.
    """

    code: ClassVar[str] = "tool-only"
    dependency: str
    source: str = _RECORD

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        task = f"{self.task.registry.name}/{self.task.name}"
        return (
            f"runs {self.dependency} as a tool (known from {self.source}) and makes no image of it;"
            f" {task}={self.dependency} in REBUILDER_TOOLS makes it a reason"
        )


class UnusedStage(TaskDecision, frozen=True):
    """Only a stage that nothing needs names the image: what is built does not stand on it.

    Attributes:
        dependency: The image as the build file names it.
        source: Where it stands.
    """

    code: ClassVar[str] = "unused-stage"
    dependency: str
    source: str = _RECORD

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"only a stage that nothing needs names {self.dependency} (known from {self.source});"
            " the image that is built does not depend on it"
        )


class NeverRan(TaskDecision, frozen=True):
    """The task has no image yet, and the base was there before the task was.

    Attributes:
        dependency: The base image as the task names it.
        digest: What the tag names.
        created: When the task was made.
        since: Since when the tag names the digest; None if nobody knows.
        run: Its last run, none of which succeeded; None if there is none.
    """

    code: ClassVar[str] = "never-ran"
    dependency: str
    digest: str
    created: datetime
    since: datetime | None = None
    run: str | None = None

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        ran = f"no run of it has succeeded (the last is {self.run})" if self.run else "it never ran"
        if self.since is None:
            was = f"since when {self.dependency} names {self.digest} is not known"
        else:
            was = f"{self.dependency} named {self.digest} at {self.since.isoformat()}, before that"
        registry, name = self.task.registry.name, self.task.name
        return (
            f"{ran} since it was made at {self.created.isoformat()}, and {was};"
            f" `az acr task run --registry {registry} --name {name}` makes its first image"
        )


class OtherTag(TaskDecision, frozen=True):
    """The task is built on the repository, but on another tag.

    Attributes:
        dependencies: What it is built on in that repository.
    """

    code: ClassVar[str] = "other-tag"
    dependencies: tuple[str, ...]

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"built on another tag: {', '.join(self.dependencies)}"


class PinnedByDigest(TaskDecision, frozen=True):
    """The Dockerfile names a digest: moving a tag does not change what it is built on.

    Attributes:
        dependency: The base image as the task names it.
        source: Who says so.
    """

    code: ClassVar[str] = "pinned-by-digest"
    dependency: str
    source: str = _RECORD

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"pinned to a digest: {self.dependency} (known from {self.source})"


class BuildTimeOnly(TaskDecision, frozen=True):
    """The task's image does not stand on the image, and only runtime bases are asked for.

    Attributes:
        dependency: The base image as the task names it.
        source: Who says that the task uses it.
        asked_by: What asks for runtime bases only: the task's `trigger`, or the setting.
    """

    code: ClassVar[str] = "build-time-only"
    dependency: str
    source: str = _RECORD
    asked_by: str = RebuildFor.TRIGGER.value

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        asked = (
            "REBUILDER_REBUILD_FOR is runtime; set it to all to rebuild it"
            if self.asked_by == RebuildFor.RUNTIME
            else "its base image trigger asks for Runtime;"
            " set the trigger type to All to rebuild it"
        )
        return f"uses {self.dependency} (known from {self.source}) at build time only, and {asked}"


class TaskDisabled(TaskDecision, frozen=True):
    """The task is built on the image, but its status is Disabled."""

    code: ClassVar[str] = "task-disabled"

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return "the task is disabled"


class NoStep(TaskDecision, frozen=True):
    """The task has no step: a system task, or one that builds nothing."""

    code: ClassVar[str] = "no-step"

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return "the task has no step: it builds nothing"


class NothingRecorded(TaskDecision, frozen=True):
    """Nothing names a base image of the task: not ACR's record, nor its build files.

    Attributes:
        files_read: Whether its build files could be read.
        asked: Whether its runs were looked for.
        run: Its last run that succeeded; if there is none, its last run; None if it never ran, or
            nobody asked.
        status: How that run ended, or what it is about.
    """

    code: ClassVar[str] = "nothing-recorded"
    files_read: bool = False
    asked: bool = False
    run: str | None = None
    status: str | None = None

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        if self.files_read:
            return "its build files name no image, and ACR has recorded none"
        if not self.asked:
            return (
                "ACR has recorded no base image: no run of it has succeeded, or its build files"
                " name none"
            )
        if self.run is None:
            registry, name = self.task.registry.name, self.task.name
            return (
                "ACR has recorded no base image, for the task never ran;"
                f" `az acr task run --registry {registry} --name {name}` runs it"
            )
        if self.status == RunStatus.SUCCEEDED:
            return (
                f"ACR has recorded no base image, although run {self.run} succeeded: it saw none in"
                " the build files"
            )
        return (
            "ACR has recorded no base image, for no run of it has succeeded (the last is"
            f" {self.run}: {self.status}); `rebuilder runs` tells why, as far as it is known"
        )


class MayNotPull(TaskDecision, frozen=True):
    """ACR has recorded no dependency, and the task may not pull from the base registry.

    Attributes:
        registry: The base registry's resource id.
        host: Its login server.
        principals: The object ids of the task's identities; empty if it has no credentials for
            the registry at all.
        role: The role that one of them lacks there.
    """

    code: ClassVar[str] = "may-not-pull"
    registry: str
    host: str
    principals: tuple[str, ...]
    role: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        if not self.principals:
            registry, _, name = str(self.task).rpartition("/registries/")[2].partition("/tasks/")
            return (
                f"the task has no credentials for {self.host}; `az acr task credential add"
                f" --registry {registry} --name {name} --login-server {self.host}"
                " --use-identity [system]` adds them"
            )
        return (
            f"the task may not pull from {self.host}: its identity {' or '.join(self.principals)}"
            f" lacks the role {self.role} on {self.registry}; `az role assignment create"
            f" --assignee {self.principals[0]} --role '{self.role}' --scope {self.registry}`"
            " gives it"
        )


class NotConfigured(TaskDecision, frozen=True):
    """A registry is not one of those that the settings name, or not any more.

    Attributes:
        registry: The registry's resource id.
        setting: The setting that does not name it.
    """

    code: ClassVar[str] = "not-configured"
    registry: str
    setting: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"{self.setting} does not name {self.registry}: nothing is started for it"


class TaskGone(TaskDecision, frozen=True):
    """The task was deleted between the plan and the build."""

    code: ClassVar[str] = "task-gone"

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return "the task is gone"


class TagGone(TaskDecision, frozen=True):
    """The pushed tag was deleted before anything was built on it.

    Attributes:
        dependency: The tag.
    """

    code: ClassVar[str] = "tag-gone"
    dependency: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"{self.dependency} is gone from its registry"


class RegistryUnreadable(Decision, frozen=True):
    """The tasks of a registry could not be read, so nothing is known of them.

    Attributes:
        registry: The registry's resource id.
        problem: Why, and what would help.
    """

    code: ClassVar[str] = "registry-unreadable"
    registry: str
    problem: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"the tasks of {self.registry} could not be read: {self.problem}"


class IndexOld(Decision, frozen=True):
    """What is known of a registry's tasks is older than it may be; what changed since is not seen.

    Attributes:
        registry: The registry's resource id.
        refreshed: When its tasks were last read.
        limit: How old that may be, in hours.
    """

    code: ClassVar[str] = "index-old"
    registry: str
    refreshed: datetime
    limit: int

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"the index of {self.registry} is from {self.refreshed.isoformat()}, older than"
            f" {self.limit} hours: a task that came to be built on the image since is not seen"
        )


REASONS: Mapping[str, type[Decision]] = {
    reason.code: reason
    for reason in (
        BaseMoved,
        BuiltWhileMoving,
        AlreadyBuiltOn,
        StillStale,
        RebuildUnderWay,
        RebuildFailed,
        Circle,
        TaskUnreadable,
        OwnOutput,
        OtherImages,
        NotAllKnown,
        MakesNoImage,
        OutputUnknown,
        ValueNotGiven,
        ToolOnly,
        UnusedStage,
        NeverRan,
        OtherTag,
        PinnedByDigest,
        BuildTimeOnly,
        TaskDisabled,
        NoStep,
        NothingRecorded,
        MayNotPull,
        NotConfigured,
        TaskGone,
        TagGone,
        RegistryUnreadable,
        IndexOld,
    )
}


def to_record(decision: Decision) -> dict[str, Any]:
    """The decision as JSON values: `code` and every field of its type."""

    def plain(value: object) -> object:
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, tuple):
            return list(value)
        return str(value) if isinstance(value, TaskId) else value

    record = {name: plain(value) for name, value in asdict(decision).items()}
    return {"code": decision.code, **record}


def from_record(record: Mapping[str, Any]) -> Decision:
    """The decision of a record that `to_record` made."""
    reason = REASONS[record["code"]]
    # A record of an older version lacks the fields that have defaults.
    values: dict[str, Any] = {
        name: record[name] for name in reason.__struct_fields__ if name in record
    }
    read: dict[str, Callable[[Any], object]] = {
        "task": TaskId.parse,
        "dependencies": tuple,
        "principals": tuple,
        "chain": tuple,
        "names": tuple,
        "created": datetime.fromisoformat,
        "started": datetime.fromisoformat,
        "since": datetime.fromisoformat,
        "refreshed": datetime.fromisoformat,
    }
    for name in values.keys() & read.keys():
        if values[name] is not None:
            values[name] = read[name](values[name])
    return reason(**values)


_NO_POLICY = Policy()


def decide(
    task: Task,
    base: Base,
    last_started: datetime | None = None,
    policy: Policy = _NO_POLICY,
) -> TaskDecision:
    """Whether `task` must be rebuilt because `base` names the digest it names.

    Args:
        task: The task with everything that is known of what it reads and makes.
        base: The tag and the digest it names now.
        last_started: When the task's last successful run began; only looked at if the record
            already names the new digest and `base.since` is known.
        policy: For which of its images it is rebuilt.
    """
    if not task.has_step:
        return NoStep(task.id)
    if not task.dependencies:
        return _unknown_or_none(task)
    same_repository = [
        d for d in task.dependencies if d.reference.repository == base.reference.repository
    ]
    moving = [d for d in same_repository if follows(d, base.reference)]
    if not moving:
        return _unmoved(task, same_repository, policy)
    wanted = [d for d in moving if wants(task, d, policy)]
    left = _without_image(task, moving[0], wanted)
    if left is not None:
        return left
    if not wanted:
        kinds = {d.kind for d in moving}
        if kinds == {Kind.UNUSED}:
            return UnusedStage(task.id, str(base.reference), moving[0].known_from)
        if kinds <= {Kind.TOOL, Kind.UNUSED}:
            return ToolOnly(task.id, str(base.reference), moving[0].known_from)
        asked_by = policy.rebuild_for.value
        return BuildTimeOnly(task.id, str(base.reference), moving[0].known_from, asked_by)
    if not task.enabled:
        return TaskDisabled(task.id)
    return _compare(task, wanted, base, last_started)


def _unknown_or_none(task: Task) -> TaskDecision:
    """Why a task is left alone that no image is known of."""
    if task.unread:
        return NotAllKnown(task.id, (), task.unread)
    output = task.output
    if output is not None and output.makes is Makes.NOTHING:
        return MakesNoImage(task.id, "", "", output.because)
    return NothingRecorded(task.id, files_read=output is not None and output.read)


def _unmoved(task: Task, same_repository: Sequence[Dependency], policy: Policy) -> TaskDecision:
    """Why a task that follows no tag that moved is left alone."""
    if task.unread:
        # What cannot be read may name any image.
        return NotAllKnown(task.id, _names(task.dependencies), task.unread)
    output = task.output
    if (
        output is not None
        and output.makes is Makes.NOTHING
        and not any(policy.names_tool(task.id, d) for d in task.dependencies)
    ):
        return MakesNoImage(task.id, "", "", output.because)
    if not same_repository:
        return OtherImages(task.id, _names(task.dependencies))
    pinned = [d for d in same_repository if d.reference.digest is not None]
    if pinned:
        return PinnedByDigest(task.id, str(pinned[0].reference), pinned[0].known_from)
    return OtherTag(task.id, _names(same_repository))


def _without_image(
    task: Task, dependency: Dependency, wanted: Sequence[Dependency]
) -> TaskDecision | None:
    """Why a task is not run that makes no image, or may make none; None if it makes one."""
    output = task.output
    if output is None:
        return None  # nobody has looked yet; whoever starts it does
    asked_for = any(d.kind is Kind.TOOL for d in wanted)  # by an operator, by name
    if output.makes is Makes.NOTHING and not asked_for:
        name, kind = str(dependency.reference), dependency.kind.value
        return MakesNoImage(task.id, name, kind, output.because)
    if output.lacks and wanted:
        return ValueNotGiven(task.id, output.missing, output.arguments)
    if output.makes is Makes.UNKNOWN and wanted and not asked_for:
        return OutputUnknown(task.id, str(dependency.reference), output.because)
    return None


def follows(dependency: Dependency, tag: ImageReference) -> bool:
    """Whether a dependency moves when a tag does: it names the tag, and no digest."""
    return dependency.reference == tag


def wants(task: Task, dependency: Dependency, policy: Policy) -> bool:
    """Whether a task is to be rebuilt for a dependency; see RebuildFor and Policy.tools."""
    if dependency.kind in (Kind.TOOL, Kind.UNUSED):
        return policy.names_tool(task.id, dependency)
    if policy.rebuild_for is RebuildFor.ALL or dependency.kind is Kind.RUNTIME:
        return True
    return policy.rebuild_for is RebuildFor.TRIGGER and task.trigger_type is not TriggerType.RUNTIME


def _compare(
    task: Task, wanted: list[Dependency], base: Base, last_started: datetime | None
) -> TaskDecision:
    name = str(base.reference)
    # One run reads a tag once, so a use whose digest is not known tells nothing beside one whose
    # digest is.
    known = [d for d in wanted if d.built_on is not None] or wanted
    for dependency in known:
        if dependency.built_on != base.digest:
            return BaseMoved(
                task.id,
                name,
                dependency.kind.value,
                dependency.built_on,
                base.digest,
                base.known_from,
                dependency.known_from,
            )
    source = known[0].known_from
    if last_started is not None and base.since is not None and last_started < base.since:
        return BuiltWhileMoving(task.id, name, base.digest, last_started, base.since, source)
    recorded = "task's record in ARM" if _RECORD in source else source
    return AlreadyBuiltOn(task.id, name, base.digest, recorded)


def _names(dependencies: Sequence[Dependency]) -> tuple[str, ...]:
    return tuple(sorted({str(d.reference) for d in dependencies}))
