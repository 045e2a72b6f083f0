"""What tasks stand on now, beside what their tags name now: the last question of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.audit.model import AuditFinding, AuditVerdict, DatedDecision
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.digests import AlreadyBuiltOn
from rebuilder.core.decisions.rebuilds import Cycle, OwnOutput, RebuildFailed, RebuildUnderWay
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Check, Rebuild, State, rejected
from rebuilder.core.times import CLOCKS_DIFFER, ahead


class Standing(Struct, frozen=True):
    """A task that follows a tag.

    Attributes:
        task: The task.
        push: The push of the digest that the tag names now; nobody may have told of it.
        image: The tag with that digest, as rebuilds name it.
        since: Since when it does, or was told; None if nobody knows.
        built_on: The digest that the task is recorded to be built on, if known.
        head: Its newest rebuild, if there is one.
        success: Its newest rebuild that succeeded, if there is one.
        decisions: What was decided for it after the push.
    """

    task: TaskId
    push: Push
    image: str
    since: datetime | None
    built_on: str | None
    head: Rebuild | None = None
    success: Rebuild | None = None
    decisions: Sequence[DatedDecision] = ()


def judge(standing: Standing, now: datetime, patience: timedelta) -> AuditFinding | None:
    """Judge a task that is not recorded to be built on what its tag names.

    Args:
        standing: The task and its tag.
        now: The time.
        patience: How long something may take before it counts as lost.

    Returns:
        What is to be known of it; None if it stands on what the tag names after all.
    """
    found = _judged(standing, now, patience)
    if found is None:
        return None
    verdict, sentence = found
    told = standing.since or now
    return AuditFinding(standing.push, told, standing.task, verdict, sentence, standing.head)


def _judged(
    standing: Standing, now: datetime, patience: timedelta
) -> tuple[AuditVerdict, str] | None:
    success, head = standing.success, standing.head
    if success is not None and standing.image in success.bases:
        if success.check is not Check.STALE:
            return None
        return AuditVerdict.STALE, success.check_reason or "rebuilt, but still stale"
    if (
        head is not None
        and standing.image in head.bases
        and (found := of_attempt(head, now, patience))
    ):
        return found
    last = last_of(standing.decisions)
    if last is not None and not last.decision.rebuild and isinstance(last.decision, TaskDecision):
        found = of_decision(last.decision)
        if found is not None:
            return None if found[0] is AuditVerdict.ALREADY else found
    on = standing.built_on or "nobody knows which digest"
    where = f"it stands on {on}, and {standing.image} is what its tag names"
    if head is not None and head.unsettled and not overdue(head, now, patience):
        waits = f"{where}; it waits for the end of rebuild {head.id} ({head.state})"
        return AuditVerdict.IN_PROGRESS, waits
    if standing.since is not None and now - standing.since <= patience:
        return AuditVerdict.IN_PROGRESS, f"{where} since {standing.since.isoformat()}"
    return AuditVerdict.LOST, f"{where}; nothing is under way"


def of_attempt(
    rebuild: Rebuild, now: datetime, patience: timedelta
) -> tuple[AuditVerdict, str] | None:
    """Judge the newest attempt on some digests; None if it was skipped."""
    outcome = rebuild.outcome or rebuild.state.value
    cause = rebuild.cause.sentence() if rebuild.cause else None
    outcome = "; ".join(filter(None, (outcome, cause, rebuild.advice)))
    if rebuild.unsettled and (late := overdue(rebuild, now, patience)):
        return AuditVerdict.LOST, late
    match rebuild.state:
        case State.HELD:
            return AuditVerdict.HELD, outcome
        case State.CLAIMED | State.SCHEDULED | State.RUNNING:
            return (
                AuditVerdict.IN_PROGRESS,
                f"{rebuild.state}, run {rebuild.run_id or 'not known yet'}",
            )
        case State.FAILED if rebuild.due is not None:
            return AuditVerdict.RETRY, f"attempt {rebuild.attempt + 1} at {rebuild.due}: {outcome}"
        case State.SKIPPED:
            return None
        case State.GIVEN_UP if left := rejected(rebuild):
            return AuditVerdict.LEFT, left.sentence()
        case _:
            return AuditVerdict.GIVEN_UP, f"after {rebuild.attempt} attempt(s): {outcome}"


def overdue(rebuild: Rebuild, now: datetime, patience: timedelta) -> str | None:
    """Return that nothing happens to a rebuild to which something should; None if it may."""
    due = rebuild.due or rebuild.lease_until
    if ahead(due, now, rebuild.longest_wait):
        return (
            f"rebuild {rebuild.id} is {rebuild.state} until {due.isoformat()}, which lies further"
            " ahead than it can: nobody goes on with it"
        )
    if now - due <= patience:
        return None
    return (
        f"rebuild {rebuild.id} is {rebuild.state}, and nothing happened to it since"
        f" {due.isoformat()}"
    )


def last_of(decisions: Sequence[DatedDecision]) -> DatedDecision | None:
    """Return what was decided last; None if nothing was.

    A build decides after its plan, maybe on another instance, whose clock is another.
    """
    return max(
        decisions,
        key=lambda made: made.last_at + (timedelta() if made.decision.rebuild else CLOCKS_DIFFER),
        default=None,
    )


def of_decision(decision: TaskDecision) -> tuple[AuditVerdict, str] | None:
    """Judge a task by why it is not rebuilt; None if it is, or another rebuild tells."""
    if decision.rebuild or isinstance(decision, RebuildUnderWay):
        return None
    verdict = AuditVerdict.LEFT
    if isinstance(decision, AlreadyBuiltOn):
        verdict = AuditVerdict.ALREADY
    elif isinstance(decision, RebuildFailed):
        verdict = AuditVerdict.GIVEN_UP
    elif isinstance(decision, OwnOutput | Cycle):
        verdict = AuditVerdict.CYCLE
    return verdict, decision.sentence()
