"""Scheduling the run of a claimed rebuild, and what ARM may answer to that."""

from __future__ import annotations

import logging
from copy import replace
from datetime import datetime, timedelta
from uuid import uuid4

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.decisions.unreadable import TaskGone
from rebuilder.core.rebuilds.messages import RUNS, TrackBuild
from rebuilder.core.rebuilds.next_step import SOON
from rebuilder.core.rebuilds.pace import LONGEST_TURN
from rebuilder.core.rebuilds.rebuild import Failure, Hold, Rebuild, State
from rebuilder.errors import (
    Denied,
    NotFound,
    OutcomeUnknown,
    PermanentError,
    Refused,
    Throttled,
    TransientError,
)
from rebuilder.telemetry import signals
from rebuilder.usecases import pace
from rebuilder.usecases.build._delivery import Delivery
from rebuilder.usecases.build._told import about, changed
from rebuilder.usecases.build._waiting import PutBack
from rebuilder.usecases.context import Context
from rebuilder.usecases.messages.tell import tell
from rebuilder.usecases.steering import places
from rebuilder.usecases.waves.wake import wake

log = logging.getLogger(__name__)

_REQUEST = timedelta(seconds=70)
"""Longer than a request to ARM may take; see `azure.acr.tasks`. So much of a lease must be left."""


def schedule(delivery: Delivery, rebuild: Rebuild) -> TaskDecision | Rebuild | PutBack:
    """Schedule the run of a claimed rebuild.

    Returns:
        The rebuild, why there is none after all, or when to look again.

    Raises:
        TransientError: Nothing was sent.
    """
    context = delivery.context
    signals.note(about(rebuild))
    now = context.now()
    if now + _REQUEST > rebuild.lease_until or now < rebuild.claimed_at:
        # This process was slow, or its clock was put back since, so that nobody knows how slow.
        # Whoever took the claim over meanwhile has changed it.
        rebuild = context.ledger.save(delivery.leased(rebuild))
        if context.now() + _REQUEST > rebuild.lease_until:
            late = TransientError(f"rebuild {rebuild.id}: no time left of its lease")
            _not_sent(context, rebuild, late, context.now())
            raise late
    subscription = rebuild.task.registry.subscription
    try:
        run_id = context.tasks.schedule(rebuild.task, rebuild.token)
    except OutcomeUnknown as error:
        # The lease keeps everybody off until a run that was started can be seen in ARM.
        log.warning("rebuild %s of %s: %s", rebuild.id, rebuild.task, error)
        return PutBack(context.settings.lease, "whether a run was started")
    except TransientError as error:
        if not isinstance(error, Throttled):
            _not_sent(context, rebuild, error, context.now())
            raise
        asked = pace.WAIT if error.retry_after is None else error.retry_after
        _not_sent(context, rebuild, error, context.now() + min(asked, LONGEST_TURN))
        pace.slow_down(context, subscription, error.retry_after)
        turn = pace.turn(context, subscription)
        delivery.message = replace(delivery.message, turn=turn)
        return PutBack(max(turn - context.now(), SOON), str(error), counted=False)
    except PermanentError as error:
        # Disabled or deleted since it was read? Then it is no failure, and may be over.
        left = _left(context, rebuild.task)
        return (
            _refused(context, rebuild, error) if left is None else delivery.decided(rebuild, left)
        )
    return record_run(context, rebuild, run_id)


def record_run(context: Context, rebuild: Rebuild, run_id: str) -> Rebuild:
    """Record the run of a rebuild, and have it followed."""
    # The message goes first: a record without a message would never be followed, a message
    # without its record is dropped.
    wait = places.until_look(context, rebuild)
    due, follower = context.now() + wait, uuid4().hex
    done = replace(rebuild, state=State.SCHEDULED, run_id=run_id, due=due, follower=follower)
    track = TrackBuild(done.task, done.sequence, done.version + 1, follower)
    context.queue.send(RUNS, track.encode(), wait)
    saved = context.ledger.save(done)
    changed(context, saved)
    log.info(
        "task %s: run %s is rebuild %s on %s", done.task, run_id, done.id, ", ".join(done.bases)
    )
    return saved


def follow(context: Context, head: Rebuild) -> None:
    """Make sure that somebody follows the run; a second message for a record changes nothing."""
    track = TrackBuild(head.task, head.sequence, head.version)
    context.queue.send(RUNS, track.encode(), context.settings.track_interval)


def _not_sent(context: Context, rebuild: Rebuild, error: TransientError, due: datetime) -> None:
    """Hold a claim that nothing was sent for: nobody has to wait for it, or to ask for runs."""
    held = replace(
        rebuild,
        state=State.HELD,
        hold=Hold.ARM,
        due=due,
        lease_until=context.now(),
        outcome=f"not asked for yet: {error}",
    )
    changed(context, context.ledger.save(held))


def _left(context: Context, task: TaskId) -> TaskDecision | None:
    try:
        found = context.tasks.task(task)
    except NotFound:
        context.index.remove(task, context.now())
        return TaskGone(task)
    except Denied:
        return None
    return None if found.enabled else TaskDisabled(task)


def _refused(context: Context, rebuild: Rebuild, error: PermanentError) -> Rebuild:
    log.error("task %s: rebuild %s was not scheduled: %s", rebuild.task, rebuild.id, error)
    given_up = replace(
        rebuild,
        state=State.GIVEN_UP,
        finished_at=context.now(),
        outcome=str(error),
        failure=Failure.REFUSED,
        advice=_advice(rebuild, error),
    )
    tell(context, given_up)
    saved = context.ledger.save(given_up)
    changed(context, saved)
    wake(context, saved)
    return saved


def _advice(rebuild: Rebuild, error: PermanentError) -> str | None:
    match error:
        case Refused(code="TasksOperationsNotAllowed"):
            return (
                "Azure does not let this subscription run ACR Tasks, as on free credits: ask"
                f" Azure support, then `rebuilder retry {rebuild.task}`"
            )
        case Denied():
            return (
                "give the function app's identity the role of infra/rebuilder-role.json on"
                f" {rebuild.task.registry}, then `rebuilder retry {rebuild.task}`"
            )
    return None
