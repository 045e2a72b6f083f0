"""Whether a task must be rebuilt after a push, and why: one small type per reason.

`decide` compares what a task's image was built on with what a tag names now. It is pure: the same
task and base give the same decision, so a decision can be explained, repeated and tested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, Literal

from rebuilder.core.references import ImageReference
from rebuilder.core.registries import TaskId
from rebuilder.core.tasks import Dependency, Kind, Task, TriggerType

# Where the digest that a tag names now is known from.
type KnownFrom = Literal["registry", "event"]


@dataclass(frozen=True, slots=True)
class Base:
    """A tag of a base registry and the digest it names now.

    Attributes:
        reference: Registry, repository and tag, without digest.
        digest: What the tag names.
        known_from: The registry itself, or the event where the registry may not be read.
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
    """

    rebuild: ClassVar[bool] = True
    code: ClassVar[str] = "base-moved"
    dependency: str
    kind: str
    old: str | None
    new: str
    known_from: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        was = f"was built on {self.old}" if self.old else "has no record of the digest it used"
        return (
            f"its {self.kind} base {self.dependency} {was};"
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
    """

    rebuild: ClassVar[bool] = True
    code: ClassVar[str] = "built-while-moving"
    dependency: str
    digest: str
    started: datetime
    since: datetime

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"{self.dependency} is recorded as {self.digest}, which came at"
            f" {self.since.isoformat()}, after the last build began ({self.started.isoformat()})"
        )


@dataclass(frozen=True, slots=True)
class AlreadyBuiltOn(TaskDecision):
    """The image is built on what the tag names now.

    Attributes:
        dependency: The base image as the task names it.
        digest: The digest.
        known_from: ARM's record of the task, or the ledger of rebuilds.
    """

    code: ClassVar[str] = "already-built-on"
    dependency: str
    digest: str
    known_from: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"already built on {self.dependency} at {self.digest} (from the {self.known_from})"


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
    """A rebuild on the same digests was tried and did not succeed; it is not tried again by itself.

    Attributes:
        rebuild_id: The rebuild.
        run: Its run, if it had one.
        outcome: How it ended.
    """

    code: ClassVar[str] = "rebuild-failed"
    rebuild_id: str
    run: str | None
    outcome: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        run = f"run {self.run}" if self.run else "it was not scheduled"
        return f"a rebuild on these digests failed already ({run}): {self.outcome}"


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
    """

    code: ClassVar[str] = "pinned-by-digest"
    dependency: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return f"pinned to a digest: {self.dependency}"


@dataclass(frozen=True, slots=True)
class BuildTimeOnly(TaskDecision):
    """The task uses the image in a stage that is thrown away, and asks for runtime bases only.

    Attributes:
        dependency: The base image as the task names it.
    """

    code: ClassVar[str] = "build-time-only"
    dependency: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"uses {self.dependency} at build time only, and its base image trigger"
            " asks for Runtime; set the trigger type to All to rebuild it"
        )


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


REASONS: Mapping[str, type[Decision]] = {
    reason.code: reason
    for reason in (
        BaseMoved,
        BuiltWhileMoving,
        AlreadyBuiltOn,
        RebuildUnderWay,
        RebuildFailed,
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
    values: dict[str, Any] = {field.name: record[field.name] for field in fields(reason)}
    read: dict[str, Callable[[Any], object]] = {
        "task": TaskId.parse,
        "dependencies": tuple,
        "principals": tuple,
        "started": datetime.fromisoformat,
        "since": datetime.fromisoformat,
    }
    for name in values.keys() & read.keys():
        values[name] = read[name](values[name])
    return reason(**values)


def decide(task: Task, base: Base, last_started: datetime | None = None) -> TaskDecision:
    """Whether `task` must be rebuilt because `base` names the digest it names.

    Args:
        task: The task with its recorded dependencies.
        base: The tag and the digest it names now.
        last_started: When the task's last successful run began; only looked at if the record
            already names the new digest and `base.since` is known.
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
    matching = [d for d in same_repository if d.reference.at(None) == base.reference]
    moving = [d for d in matching if d.reference.digest is None]
    if not moving:
        pinned = [d for d in same_repository if d.reference.digest is not None]
        if pinned:
            return PinnedByDigest(task.id, str(pinned[0].reference))
        return OtherTag(task.id, _names(same_repository))
    wanted = [d for d in moving if wants(task, d)]
    if not wanted:
        return BuildTimeOnly(task.id, str(base.reference))
    if not task.enabled:
        return TaskDisabled(task.id)
    return _compare(task, wanted, base, last_started)


def wants(task: Task, dependency: Dependency) -> bool:
    """Whether the task asks to be rebuilt for this dependency.

    A base image trigger of type Runtime leaves build-time images out. A task without a base image
    trigger has said nothing, so every dependency counts.
    """
    return task.trigger_type is not TriggerType.RUNTIME or dependency.kind is Kind.RUNTIME


def _compare(
    task: Task, wanted: list[Dependency], base: Base, last_started: datetime | None
) -> TaskDecision:
    name = str(base.reference)
    for dependency in wanted:
        if dependency.built_on != base.digest:
            return BaseMoved(
                task.id,
                name,
                dependency.kind.value,
                dependency.built_on,
                base.digest,
                base.known_from,
            )
    if last_started is not None and base.since is not None and last_started < base.since:
        return BuiltWhileMoving(task.id, name, base.digest, last_started, base.since)
    return AlreadyBuiltOn(task.id, name, base.digest, "task's record in ARM")


def _names(dependencies: tuple[Dependency, ...] | list[Dependency]) -> tuple[str, ...]:
    return tuple(sorted({str(d.reference) for d in dependencies}))
