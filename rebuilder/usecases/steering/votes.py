"""Approve rebuilds that wait for it, or reject them, on the digests that they are for.

A vote is kept with the rebuild: whatever newer digest comes makes another one, which asks again.
"""

from __future__ import annotations

from collections.abc import Collection
from copy import replace
from functools import partial

from rebuilder.core.decisions.operators import Rejected
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.acts import MOST, Act, Target, What
from rebuilder.core.policies.approval import NeedsApproval, Vote
from rebuilder.core.policies.matching import Moved
from rebuilder.core.rebuilds.messages import BUILDS
from rebuilder.core.rebuilds.rebuild import Failure, Rebuild, State
from rebuilder.errors import InvalidMessage, RebuilderError
from rebuilder.isolation import attempts
from rebuilder.usecases.build._told import changed
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.waiting import again, held_rebuilds


def to_be_approved(context: Context, targets: Collection[Target]) -> list[Rebuild]:
    """Return the rebuilds that wait for approval and fit one of some targets.

    Raises:
        TransientError: The store cannot be reached.
    """
    return [
        rebuild
        for rebuild in held_rebuilds(context)
        if _waits(rebuild) and any(_fits(target, rebuild) for target in targets)
    ]


def vote(context: Context, act: Act) -> str:
    """Approve or reject the rebuilds that an act names; safe to repeat.

    Returns:
        What came of it, as a sentence.

    Raises:
        InvalidMessage: It names none, or too many.
        TransientError: Some could not be changed now; the others are.
    """
    if not 0 < len(act.of) <= MOST:
        raise InvalidMessage(f"act {act.id} names {len(act.of)} rebuilds, not 1 to {MOST}")
    named, approves = set(act.of), act.what is What.APPROVE
    # One that was voted for by an earlier delivery is sent on again.
    wanted = [
        rebuild
        for rebuild in held_rebuilds(context)
        if rebuild.id in named and (_waits(rebuild) or _voted(act, rebuild))
    ]
    found = attempts(partial(_approve if approves else _reject, context, act), wanted)
    done = [rebuild for rebuild in found if not isinstance(rebuild, RebuilderError)]
    if approves:
        context.queue.send_many(BUILDS, [again(rebuild).encode() for rebuild in done])
    for error in found:
        if isinstance(error, RebuilderError):
            raise error
    left = len(named) - len(done)
    others = f"; {left} did not wait for it, or not any more" if left else ""
    return f"{len(done)} rebuild(s) {'approved' if approves else 'rejected'}{others}"


def _approve(context: Context, act: Act, rebuild: Rebuild) -> Rebuild:
    held = rebuild.held
    if held is None or _voted(act, rebuild):
        return rebuild
    votes = (*held.votes, Vote(act.id, act.who, act.because, act.at))
    # Whoever comes next looks at it, and does not find that nothing has changed.
    return context.ledger.save(replace(rebuild, held=replace(held, votes=votes, controls="")))


def _reject(context: Context, act: Act, rebuild: Rebuild) -> Rebuild:
    now, against = context.now(), Vote(act.id, act.who, act.because, act.at)
    decision = Rejected(rebuild.task, rebuild.id, rebuild.bases, act.who, act.because, act.at)
    context.ledger.record_decisions(Push.from_key(rebuild.push), [decision], now)
    saved = context.ledger.save(
        replace(
            rebuild,
            state=State.GIVEN_UP,
            due=None,
            finished_at=now,
            failure=Failure.REJECTED,
            outcome=decision.outcome,
            held=rebuild.held and replace(rebuild.held, rejected=against),
        )
    )
    changed(context, saved)
    return saved


def _waits(rebuild: Rebuild) -> bool:
    held = rebuild.held
    return held is not None and any(isinstance(r, NeedsApproval) for r in held.reasons)


def _voted(act: Act, rebuild: Rebuild) -> bool:
    return rebuild.held is not None and any(v.act == act.id for v in rebuild.held.votes)


def _fits(target: Target, rebuild: Rebuild) -> bool:
    images = [name for base in rebuild.bases for name in Moved(base.rpartition("@")[0]).names]
    return target.fits(rebuild.task.short, rebuild.task.registry.name, tuple(images))
