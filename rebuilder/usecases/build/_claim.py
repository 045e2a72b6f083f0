"""The claim of a rebuild: made, held, taken over from who is gone."""

from __future__ import annotations

import logging
from copy import replace
from datetime import datetime

from rebuilder.core.acr.tasks import MANUAL
from rebuilder.core.rebuilds.rebuild import LONGEST_LEASE, Hold, Rebuild, State
from rebuilder.core.times import CLOCKS_DIFFER
from rebuilder.errors import Conflict
from rebuilder.ports.acr import NEWEST_RUNS
from rebuilder.usecases.build._delivery import Delivery
from rebuilder.usecases.build._schedule import record_run
from rebuilder.usecases.build._told import changed
from rebuilder.usecases.clocks import impossible
from rebuilder.usecases.context import Context
from rebuilder.usecases.history.lookups import rebuilds_since

log = logging.getLogger(__name__)

_WRONG_CLOCK = "claimed by an instance whose clock was ahead"


def claim(delivery: Delivery, rebuild: Rebuild) -> Rebuild:
    """Make a rebuild ours: a new one, one that was held, or one that is taken over."""
    now = delivery.context.now()
    if rebuild.state is State.HELD:
        ours = replace(
            rebuild,
            state=State.CLAIMED,
            claimed_at=now,
            due=None,
            hold=Hold.NATIVE,
            outcome=None,
        )
        return delivery.context.ledger.save(delivery.leased(ours))
    if rebuild.version > 1:
        return rebuild  # taken over by this delivery
    if not delivery.context.ledger.claim(rebuild):
        raise Conflict(f"task {rebuild.task}: {rebuild.id} was claimed by another delivery")
    return rebuild


def hold(context: Context, rebuild: Rebuild, due: datetime) -> None:
    """Hold a new rebuild until the native trigger had its time."""
    held = replace(
        rebuild,
        state=State.HELD,
        due=due,
        outcome="waiting for ACR's own base image trigger",
    )
    if not context.ledger.claim(held):
        raise Conflict(f"task {rebuild.task}: {rebuild.id} was claimed by another delivery")
    changed(context, held)


def put_right(context: Context, head: Rebuild) -> Rebuild:
    """Give a claim the times of a clock that is right, or at least our own.

    Its holder may be at work, so it gets as long as any other.
    """
    now = context.now()
    impossible(f"the lease of {head.id}", head.lease_until, now, LONGEST_LEASE)
    right = replace(head, lease_until=now + context.settings.lease)
    if head.claimed_at > now:
        right = replace(right, claimed_at=now, outcome=_WRONG_CLOCK)
    return context.ledger.save(right)


def take_over(delivery: Delivery, head: Rebuild) -> Rebuild:
    """Go on with a claim whose holder is gone: with its run, if it came so far."""
    ours = delivery.context.ledger.save(delivery.leased(head))
    run = _find_run(delivery.context, ours)
    ours = replace(ours, outcome=None)
    return ours if run is None else record_run(delivery.context, ours, run)


def _earliest(context: Context, rebuild: Rebuild) -> datetime:
    """Return the time before which a run cannot be of a claim.

    Whoever claimed it may have had a clock that was ahead, and so may we, which nobody notices.
    Azure's own clock told when the base was pushed, and when the attempt before had ended: what
    began after that builds on it, too, unless the run was wanted because another one had not done
    so.
    """
    earliest = rebuild.claimed_at - CLOCKS_DIFFER
    if rebuild.outcome == _WRONG_CLOCK:
        # Nobody knows when it was claimed, only when that was noticed.
        earliest -= LONGEST_LEASE
    if rebuild.repair:
        return earliest
    push = context.ledger.push(rebuild.push)
    told = [push.push.pushed_at if push is not None else None]
    again = rebuild.attempt > 1
    before = context.ledger.rebuild(rebuild.task, rebuild.sequence - 1) if again else None
    if before is not None and before.key == rebuild.key:
        told.append(before.run_ended)
    return min([earliest, *filter(None, told)])


def _find_run(context: Context, rebuild: Rebuild) -> str | None:
    """Return the run that an abandoned claim may have started.

    ARM may or may not show a run's token. A run without one that nobody else can have started
    is taken for ours: any run that began after the claim builds on the digests of the claim.
    """
    earliest = _earliest(context, rebuild)
    known = {r.run_id for r in rebuilds_since(context.ledger, rebuild.task, earliest)}
    runs = context.tasks.runs(rebuild.task.registry, task=rebuild.task.name, top=NEWEST_RUNS)
    for run in runs:
        unmarked = run.token is None and run.trigger == MANUAL and run.run_id not in known
        if run.token == rebuild.token or (
            unmarked and run.created is not None and run.created >= earliest
        ):
            log.info("task %s: run %s belongs to %s", rebuild.task, run.run_id, rebuild.id)
            return run.run_id
    return None
