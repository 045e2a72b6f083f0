"""Tell a person what came of a push: every decision, every rebuild, every event left aside.

A plan decides for the tasks that use the pushed image and for no other; why the others were left
alone is worked out here, from the index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct, field

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Task
from rebuilder.core.audit.model import PendingLetter
from rebuilder.core.decisions.decide import Base, decide
from rebuilder.core.decisions.decision import Decision, TaskDecision
from rebuilder.core.decisions.digests import BaseMoved, TagGone
from rebuilder.core.decisions.unreadable import RegistryUnreadable, TaskUnreadable
from rebuilder.core.dependencies.index import with_view
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.core.times import CLOCKS_DIFFER
from rebuilder.core.waves.canary import Quarantined
from rebuilder.errors import NotFound, RebuilderError, Unforeseen
from rebuilder.isolation import attempt, attempts
from rebuilder.ports.ledger import DecisionRecord, IgnoredRecord, PushRecord
from rebuilder.usecases.context import Context
from rebuilder.usecases.history.lookups import rebuilds_since
from rebuilder.usecases.plan.bases import pushed_base, pushed_reference, registry_remark
from rebuilder.usecases.plan.deciding import decide_for
from rebuilder.usecases.recovery.letters import waiting
from rebuilder.usecases.reports._known import known_now, unindexed

_NEVER = datetime.min.replace(tzinfo=UTC)

EARLIER = 10
"""How many pushes before the newest one are counted."""

_IGNORED = 20

# A person waits, and the index knows nothing more of such a task than ARM does.
_ASKED = 200


class Explained(Struct, frozen=True):
    """A decision, with the rebuild that it led to.

    Attributes:
        record: The decision.
        rebuild: The rebuild that it led to, if any.
        derived: Whether it was worked out now, from the index, and not by a plan.
    """

    record: DecisionRecord
    rebuild: Rebuild | None
    derived: bool = False


class IndexAge(Struct, frozen=True):
    """How old the index of a registry is.

    Attributes:
        registry: The registry.
        refreshed: When its tasks were last all read; None if they never were.
        old: Whether that is longer ago than it may be, or never was.
    """

    registry: RegistryId
    refreshed: datetime | None
    old: bool


class Explanation(Struct, frozen=True):
    """What is known about an image.

    Attributes:
        image: The image asked for.
        push: Its newest push; None if none is known.
        earlier: How many older pushes of it are known; EARLIER of them at most are counted.
        decisions: What was decided after that push, and why the other tasks were left alone.
        ignored: The last events about the same repository that started nothing.
        indexes: How old the index of each task registry is.
        remark: What the registry knows of the push now, if it is odd; "" if nothing is.
        warnings: Of the tasks with a decision, what makes their runs fail.
        waiting: The dead letters about the push, or about rebuilds that it led to.
        quarantined: The digests that nothing more is built on.
    """

    image: ImageReference
    push: PushRecord | None
    earlier: int
    decisions: tuple[Explained, ...]
    ignored: tuple[IgnoredRecord, ...]
    indexes: tuple[IndexAge, ...] = ()
    remark: str = ""
    warnings: Mapping[TaskId, tuple[str, ...]] = field(default_factory=dict)
    waiting: tuple[PendingLetter, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()


def explain(context: Context, image: ImageReference) -> Explanation:
    """Collect what the ledger knows about the newest push of an image.

    Args:
        context: The ports.
        image: A tag, a tag with digest, or a digest of a base registry.

    Raises:
        NotFound: The image's registry is not one of the base registries.
    """
    registry = _registry(context, image)
    pushes = _pushes(context, registry, image)
    ignored = tuple(context.ledger.ignored(str(registry), image.path, _IGNORED))
    indexes = _ages(context)
    if not pushes:
        return Explanation(image, None, 0, (), ignored, indexes)
    decisions = context.ledger.decisions(pushes[0].push)
    explained = _current(
        [Explained(record, _rebuild(context, record.decision, pushes[0])) for record in decisions]
    )
    now = context.now()
    left = tuple(
        Explained(DecisionRecord(decision, now, now), None, derived=True)
        for decision in _left_alone(context, pushes[0].push, decisions)
    )
    remark = registry_remark(context, pushes[0].push)
    warnings = _warnings(context, explained)
    return Explanation(
        image,
        pushes[0],
        len(pushes) - 1,
        (*explained, *left),
        ignored,
        indexes,
        remark,
        warnings,
        tuple(_waiting(context, pushes[0].push, explained)),
        context.in_force.now(context.steering, now).quarantined,
    )


def _waiting(
    context: Context, push: Push, explained: Iterable[Explained]
) -> Iterator[PendingLetter]:
    """Yield the dead letters that keep something of a push from being done."""
    tasks = {e.rebuild.task for e in explained if e.rebuild is not None and e.rebuild.unsettled}
    for letter in waiting(context):
        about = letter.task in tasks if letter.push is None else letter.push.key == push.key
        if about:
            yield letter


def _warnings(context: Context, explained: Iterable[Explained]) -> dict[TaskId, tuple[str, ...]]:
    """Return what makes runs of the tasks fail that a plan decided for."""
    found: dict[TaskId, tuple[str, ...]] = {}
    for decision in (entry.record.decision for entry in explained):
        if isinstance(decision, TaskDecision) and decision.task not in found:
            known = context.index.view(decision.task)
            output = known.view.output if known is not None else None
            found[decision.task] = output.warnings if output is not None else ()
    return {task: warnings for task, warnings in found.items() if warnings}


def _current(decisions: Sequence[Explained]) -> tuple[Explained, ...]:
    """Leave out what was decided by the index and turned out otherwise when the task was read."""
    newest: dict[TaskId, Explained] = {}
    for explained in decisions:
        decision = explained.record.decision
        if isinstance(decision, TaskDecision) and explained.rebuild is None:
            known = newest.get(decision.task)
            if known is None or _at(explained) >= _at(known):
                newest[decision.task] = explained
    return tuple(
        explained
        for explained in decisions
        if explained.rebuild is not None
        or not isinstance(explained.record.decision, TaskDecision)
        or newest[explained.record.decision.task] is explained
    )


def _at(explained: Explained) -> datetime:
    # A build decides after its plan, maybe on another instance, whose clock is another.
    rebuild = explained.record.decision.rebuild
    return explained.record.last_at + (timedelta() if rebuild else CLOCKS_DIFFER)


def _ages(context: Context) -> tuple[IndexAge, ...]:
    known, now = context.index.refreshes(), context.now()
    limit = context.settings.index_max_age
    return tuple(
        IndexAge(registry, known.get(registry), now - known.get(registry, _NEVER) > limit)
        for registry in context.settings.task_registries
    )


def _left_alone(
    context: Context, push: Push, decisions: Sequence[DecisionRecord]
) -> list[Decision]:
    """Return what the index, and ACR's record of now, tell of the tasks that no plan decided for.

    Most are not concerned by the push. One that is came to be built on it later, or its plan is
    still to come.
    """
    base, gone = _base_now(context, push)
    decided = {r.decision.task for r in decisions if isinstance(r.decision, TaskDecision)}
    policy = context.settings.policy
    found: list[Decision] = []
    unknown: list[Task] = []
    for registry in context.settings.task_registries:
        known, problem = known_now(context, registry)
        if problem:
            found.append(RegistryUnreadable(str(registry), problem))
        for task in known:
            if task.id in decided:
                continue
            if not task.dependencies:
                unknown.append(task)
                continue
            result = attempt(lambda task: decide(task, base, policy=policy), task)
            if isinstance(result, RebuilderError):
                result = TaskUnreadable(task.id, str(result))
            found.append(result)
    found += _of_unknown(context, unknown, base)
    if gone:
        return [_not_there(decision, base) for decision in found]
    return found


def _base_now(context: Context, push: Push) -> tuple[Base, bool]:
    """Return what the tag of a push names now, and whether it is gone."""
    reference = pushed_reference(context, push)
    told = Base(reference, push.digest, "event")
    base = attempt(lambda push: pushed_base(context, reference, push), push)
    if isinstance(base, RebuilderError):
        return told, False  # the remark tells that the registry could not be asked
    return base or told, base is None


def _not_there(decision: Decision, base: Base) -> Decision:
    """Nothing is built on a tag that is gone."""
    if isinstance(decision, TaskDecision) and decision.rebuild:
        return TagGone(decision.task, str(base.reference))
    return decision


def _of_unknown(context: Context, tasks: Sequence[Task], base: Base) -> list[TaskDecision]:
    """Return why nothing is known of tasks; ARM is asked, as far as it can be."""

    def look(task: Task) -> TaskDecision:
        known = context.index.view(task.id)
        read = context.tasks.task(task.id)
        read = unindexed(read) if known is None else with_view(read, known.view)
        return decide_for(context, read, base)

    asked = tasks[:_ASKED]
    results = attempts(look, asked)
    found: list[TaskDecision] = []
    for task, result in zip(asked, results, strict=True):
        if not isinstance(result, RebuilderError):
            found.append(result)
        elif isinstance(result, Unforeseen):
            found.append(TaskUnreadable(task.id, str(result)))
        elif not isinstance(result, NotFound):
            found.append(decide(task, base))
    return [*found, *(decide(task, base) for task in tasks[_ASKED:])]


def _pushes(context: Context, registry: RegistryId, image: ImageReference) -> Sequence[PushRecord]:
    """Return the newest pushes of an image, newest first."""
    if image.tag is None:
        return context.ledger.pushes_of(registry, image.path, image.digest or "", EARLIER + 1)
    if image.digest is None:
        return context.ledger.pushes(registry, image.path, image.tag, EARLIER + 1)
    push = Push(registry, image.path, image.tag, image.digest, None, "")
    known = context.ledger.push(push.key)
    return () if known is None else (known,)


def _registry(context: Context, image: ImageReference) -> RegistryId:
    registry = context.base_registry(image.domain)
    if registry is None:
        raise NotFound(f"{image.domain} is none of the registries in REBUILDER_BASE_REGISTRIES")
    return registry


def _rebuild(context: Context, decision: Decision, pushed: PushRecord) -> Rebuild | None:
    """Return the rebuild that a decision led to: the one on the digest that it names."""
    if not isinstance(decision, TaskDecision) or not decision.rebuild:
        return None
    built_on = decision.new if isinstance(decision, BaseMoved) else pushed.push.digest
    for rebuild in rebuilds_since(context.ledger, decision.task, pushed.first_at):
        if any(base.endswith(built_on) for base in rebuild.bases):
            return rebuild
    return None
