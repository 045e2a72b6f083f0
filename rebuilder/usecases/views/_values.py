"""What several answers are made of."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from rebuilder.core.policies.acts import Scope, Target
from rebuilder.core.policies.reason import Reason
from rebuilder.core.rebuilds.rebuild import Hold, Rebuild, State
from rebuilder.core.waves.canary import Quarantined
from rebuilder.errors import NotFound

HOLDS = {
    Hold.NATIVE: ("waiting-for-trigger", "waiting for ACR's own trigger"),
    Hold.ARM: ("waiting-for-arm", "waiting for ARM"),
}
"""What a rebuild that operators do not hold waits for: code and title."""


class Value(Struct, frozen=True, rename="camel"):
    """A part of an answer; its fields are named as JSON names them."""


class TaskName(Value, frozen=True):
    """A task, as it is told and as it is asked for.

    Attributes:
        id: Its resource id.
        name: REGISTRY/TASK.
    """

    id: str
    name: str


class Waits(Value, frozen=True):
    """One reason for which a rebuild waits.

    Attributes:
        code: The reason.
        title: The reason in a few words.
        sentence: The reason with its evidence.
        ender: What ends it.
        until: When it is over; None if somebody has to end it.
        target: What is paused or quarantined, as the command writes it; "" for other reasons.
    """

    code: str
    title: str
    sentence: str
    ender: str
    until: datetime | None = None
    target: str = ""


class Attempt(Value, frozen=True):
    """A rebuild.

    Attributes:
        id: Names it.
        sequence: Counts the rebuilds of the task from 1.
        task: The task.
        state: How far it has come.
        push: The key of the push that caused it.
        bases: What it is, or was, to be built on: references with digests.
        claimed_at: When it was claimed, or first held.
        finished_at: When it was over.
        due: When something happens to it next.
        run_id: ARM's id of its run.
        outcome: How it ended, or what it waits for.
        attempt: Which attempt on these digests, from 1.
        advice: What to do about a failure.
        cause: Why its run failed.
        log: The end of the failed run's log.
        check: What the image was found to stand on.
        check_reason: The evidence for that.
        outputs: What the run pushed.
        waits: Why it waits, if it does.
        run_ended: When its run ended.
    """

    id: str
    sequence: int
    task: TaskName
    state: str
    push: str
    bases: tuple[str, ...]
    claimed_at: datetime
    finished_at: datetime | None
    due: datetime | None
    run_id: str | None
    outcome: str | None
    attempt: int
    advice: str | None
    cause: str | None
    log: str
    check: str | None
    check_reason: str | None
    outputs: tuple[str, ...]
    waits: tuple[Waits, ...]
    run_ended: datetime | None


def skip_of(after: str) -> int:
    """Return how many to leave out, of a `next`.

    Raises:
        NotFound: It is none.
    """
    if after and not (after.isdecimal() and after.isascii()):
        raise NotFound("there is no such page")
    return int(after or 0)


def attempt_of(rebuild: Rebuild) -> Attempt:
    """Return a rebuild as it is told."""
    return Attempt(
        rebuild.id,
        rebuild.sequence,
        TaskName(str(rebuild.task), rebuild.task.short),
        rebuild.state.value,
        rebuild.push,
        rebuild.bases,
        rebuild.claimed_at,
        rebuild.finished_at,
        rebuild.due,
        rebuild.run_id,
        rebuild.outcome,
        rebuild.attempt,
        rebuild.advice,
        None if rebuild.cause is None else rebuild.cause.sentence(),
        rebuild.log,
        None if rebuild.check is None else rebuild.check.value,
        rebuild.check_reason,
        rebuild.output_images,
        waits_of(rebuild),
        rebuild.run_ended,
    )


def waits_of(rebuild: Rebuild) -> tuple[Waits, ...]:
    """Return why a rebuild waits; nothing if it does not."""
    if rebuild.state is not State.HELD:
        return ()
    if rebuild.gated is not None:
        return tuple(map(_waits, rebuild.gated.reasons))
    code, title = HOLDS.get(rebuild.hold, (rebuild.hold.value, rebuild.hold.value))
    return (Waits(code, title, rebuild.outcome or title, "by itself", rebuild.due),)


def _waits(reason: Reason) -> Waits:
    target = str(getattr(reason, "target", ""))
    if isinstance(reason, Quarantined):
        target = str(Target(Scope.DIGEST, reason.image))
    return Waits(reason.code, reason.title, reason.sentence(), reason.ender(), reason.ends, target)
