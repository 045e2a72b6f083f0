"""Whether a task must be rebuilt after a push.

`decide` compares what a task's image was built on with what a tag names now. It is pure: the same
task and base give the same decision, so a decision can be explained, repeated and tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Dependency, Kind, Makes, Task
from rebuilder.core.decisions.decision import ACR_RECORD, TaskDecision
from rebuilder.core.decisions.digests import AlreadyBuiltOn, BaseMoved, BuiltWhileMoving
from rebuilder.core.decisions.policy import Policy, follows, wants
from rebuilder.core.decisions.runs import (
    MakesNoImage,
    NoStep,
    OutputUnknown,
    TaskDisabled,
    ValueNotGiven,
)
from rebuilder.core.decisions.uses import (
    BuildTimeOnly,
    NotAllKnown,
    NothingRecorded,
    OtherImages,
    OtherTag,
    PinnedByDigest,
    ToolOnly,
    UnusedStage,
)

# Where the digest that a tag names now is known from.
type KnownFrom = Literal["registry", "event", "poll"]


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

    @property
    def image(self) -> str:
        """The tag with its digest, as records have it."""
        return str(self.reference.at(self.digest))


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
    recorded = "task's record in ARM" if ACR_RECORD in source else source
    return AlreadyBuiltOn(task.id, name, base.digest, recorded)


def _names(dependencies: Sequence[Dependency]) -> tuple[str, ...]:
    return tuple(sorted({str(d.reference) for d in dependencies}))
