"""Whether a task must be rebuilt after a push, and why: one small type per reason.

`decide` compares what a task's image was built on with what a tag names now. It is pure: the same
task and base give the same decision, so a decision can be explained, repeated and tested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal

from rebuilder.core.references import ImageReference
from rebuilder.core.registries import TaskId
from rebuilder.core.tasks import Dependency, Kind, Task, TriggerType

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


@dataclass(frozen=True, slots=True)
class Base:
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


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided after one push. Each reason is a subclass."""

    rebuild: ClassVar[bool] = False
    code: ClassVar[str]

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TaskDecision(Decision):
    """What was decided for one task.

    Attributes:
        task: The task.
    """

    task: TaskId


@dataclass(frozen=True, slots=True)
class BaseMoved(TaskDecision):
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


@dataclass(frozen=True, slots=True)
class BuiltWhileMoving(TaskDecision):
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


@dataclass(frozen=True, slots=True)
class AlreadyBuiltOn(TaskDecision):
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


@dataclass(frozen=True, slots=True)
class StillStale(TaskDecision):
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


@dataclass(frozen=True, slots=True)
class RebuildUnderWay(TaskDecision):
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


@dataclass(frozen=True, slots=True)
class RebuildFailed(TaskDecision):
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


@dataclass(frozen=True, slots=True)
class Circle(TaskDecision):
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


@dataclass(frozen=True, slots=True)
class TaskUnreadable(TaskDecision):
    """The task may not be read, so nothing can be decided.

    Attributes:
        problem: Why, and what would help.
    """

    code: ClassVar[str] = "task-unreadable"
    problem: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"the task could not be read: {self.problem}"


@dataclass(frozen=True, slots=True)
class OwnOutput(TaskDecision):
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


@dataclass(frozen=True, slots=True)
class OtherImages(TaskDecision):
    """The task is built on other images only.

    Attributes:
        dependencies: Those images.
    """

    code: ClassVar[str] = "other-images"
    dependencies: tuple[str, ...]

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"built on other images: {', '.join(self.dependencies)}"


@dataclass(frozen=True, slots=True)
class OtherTag(TaskDecision):
    """The task is built on the repository, but on another tag.

    Attributes:
        dependencies: What it is built on in that repository.
    """

    code: ClassVar[str] = "other-tag"
    dependencies: tuple[str, ...]

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"built on another tag: {', '.join(self.dependencies)}"


@dataclass(frozen=True, slots=True)
class PinnedByDigest(TaskDecision):
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


@dataclass(frozen=True, slots=True)
class BuildTimeOnly(TaskDecision):
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


@dataclass(frozen=True, slots=True)
class TaskDisabled(TaskDecision):
    """The task is built on the image, but its status is Disabled."""

    code: ClassVar[str] = "task-disabled"

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return "the task is disabled"


@dataclass(frozen=True, slots=True)
class NoStep(TaskDecision):
    """The task has no step: a system task, or one that builds nothing."""

    code: ClassVar[str] = "no-step"

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return "the task has no step: it builds nothing"


@dataclass(frozen=True, slots=True)
class NothingRecorded(TaskDecision):
    """ACR has recorded no dependency of the task."""

    code: ClassVar[str] = "nothing-recorded"

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            "ACR has recorded no base image: the task has not run successfully since it was"
            " created, or its Dockerfile names none; run it once"
        )


@dataclass(frozen=True, slots=True)
class MayNotPull(TaskDecision):
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


@dataclass(frozen=True, slots=True)
class TaskGone(TaskDecision):
    """The task was deleted between the plan and the build."""

    code: ClassVar[str] = "task-gone"

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return "the task is gone"


@dataclass(frozen=True, slots=True)
class TagGone(TaskDecision):
    """The pushed tag was deleted before anything was built on it.

    Attributes:
        dependency: The tag.
    """

    code: ClassVar[str] = "tag-gone"
    dependency: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"{self.dependency} is gone from its registry"


@dataclass(frozen=True, slots=True)
class RegistryUnreadable(Decision):
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


@dataclass(frozen=True, slots=True)
class IndexOld(Decision):
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
        OtherTag,
        PinnedByDigest,
        BuildTimeOnly,
        TaskDisabled,
        NoStep,
        NothingRecorded,
        MayNotPull,
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

    record = {field.name: plain(getattr(decision, field.name)) for field in fields(decision)}
    return {"code": decision.code, **record}


def from_record(record: Mapping[str, Any]) -> Decision:
    """The decision of a record that `to_record` made."""
    reason = REASONS[record["code"]]
    # A record of an older version lacks the fields that have defaults.
    values: dict[str, Any] = {f.name: record[f.name] for f in fields(reason) if f.name in record}
    read: dict[str, Callable[[Any], object]] = {
        "task": TaskId.parse,
        "dependencies": tuple,
        "principals": tuple,
        "chain": tuple,
        "started": datetime.fromisoformat,
        "since": datetime.fromisoformat,
        "refreshed": datetime.fromisoformat,
    }
    for name in values.keys() & read.keys():
        values[name] = read[name](values[name])
    return reason(**values)


def decide(
    task: Task,
    base: Base,
    last_started: datetime | None = None,
    rebuild_for: RebuildFor = RebuildFor.ALL,
) -> TaskDecision:
    """Whether `task` must be rebuilt because `base` names the digest it names.

    Args:
        task: The task with every dependency that is known of it.
        base: The tag and the digest it names now.
        last_started: When the task's last successful run began; only looked at if the record
            already names the new digest and `base.since` is known.
        rebuild_for: For which of its images it is rebuilt.
    """
    if not task.has_step:
        return NoStep(task.id)
    if not task.dependencies:
        return NothingRecorded(task.id)
    same_repository = [
        d for d in task.dependencies if d.reference.repository == base.reference.repository
    ]
    if not same_repository:
        return OtherImages(task.id, _names(task.dependencies))
    moving = [d for d in same_repository if follows(d, base.reference)]
    if not moving:
        pinned = [d for d in same_repository if d.reference.digest is not None]
        if pinned:
            return PinnedByDigest(task.id, str(pinned[0].reference), pinned[0].known_from)
        return OtherTag(task.id, _names(same_repository))
    wanted = [d for d in moving if wants(task, d, rebuild_for)]
    if not wanted:
        return BuildTimeOnly(task.id, str(base.reference), moving[0].known_from, rebuild_for.value)
    if not task.enabled:
        return TaskDisabled(task.id)
    return _compare(task, wanted, base, last_started)


def follows(dependency: Dependency, tag: ImageReference) -> bool:
    """Whether a dependency moves when a tag does: it names the tag, and no digest."""
    return dependency.reference == tag


def wants(task: Task, dependency: Dependency, rebuild_for: RebuildFor) -> bool:
    """Whether the task is to be rebuilt for this dependency; see RebuildFor."""
    if rebuild_for is RebuildFor.ALL or dependency.kind is Kind.RUNTIME:
        return True
    return rebuild_for is RebuildFor.TRIGGER and task.trigger_type is not TriggerType.RUNTIME


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


def _names(dependencies: tuple[Dependency, ...] | list[Dependency]) -> tuple[str, ...]:
    return tuple(sorted({str(d.reference) for d in dependencies}))
