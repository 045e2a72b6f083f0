"""Carry out what operators ask for: remember it, and look again at what it may let go on.

An act travels as a message, so that whoever may write into that queue can ask, and nobody else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from copy import replace
from datetime import datetime, timedelta
from uuid import uuid4

from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.acts import LONGEST, PAGE, PLACE, Act, Controls, Target, What
from rebuilder.core.policies.holds import Paused
from rebuilder.core.rebuilds.messages import ACTS, BUILDS, OperatorAct, StartBuild
from rebuilder.core.rebuilds.rebuild import Hold, Rebuild, State
from rebuilder.core.times import ahead
from rebuilder.errors import Conflict, InvalidMessage
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

_TRIES = 20
_EVENT = "operator"


def ask(
    context: Context,
    what: What,
    target: Target,
    *,
    who: str,
    because: str,
    until: datetime | None = None,
) -> Act:
    """Ask for something to be carried out.

    Raises:
        TransientError: It was not taken over.
    """
    act = Act(uuid4().hex, what, target, who[:LONGEST], because[:LONGEST], context.now(), until)
    context.queue.send(ACTS, OperatorAct(act).encode())
    return act


def carry_out(context: Context, act: Act) -> None:
    """Remember an act, and have what it may let go on looked at again; safe to repeat.

    Raises:
        TransientError: It is not carried out, or not wholly.
        InvalidMessage: It is of a time that has not come.
    """
    if ahead(act.at, context.now(), timedelta(minutes=5)):
        # It would count as newer than every other on the same target until then.
        raise InvalidMessage(f"act {act.id} is of {act.at.isoformat()}, which is ahead")
    _remember(context, act)
    context.in_force.forget()
    woken = [rebuild for rebuild in _waiting(context) if _may_go_on(act, rebuild)]
    context.queue.send_many(BUILDS, [again(rebuild).encode() for rebuild in woken])
    log.warning(
        "act %s: %s %s by %s: %s; %d rebuild(s) looked at again",
        act.id,
        act.what,
        act.target,
        act.who,
        act.because,
        len(woken),
    )


def history(context: Context, limit: int) -> Iterator[Act]:
    """Yield what operators did, newest first, so many acts at most."""
    controls = Controls.read(context.steering.acts().place)
    left, before = limit, controls.before
    acts = controls.acts
    while acts and left > 0:
        yield from acts[::-1][:left]
        left -= len(acts)
        before -= PAGE
        page = before // PAGE
        acts = Controls.read(context.steering.acts(page).place).acts if page >= 0 else ()


def paused(context: Context) -> tuple[Act, ...]:
    """Return the pauses that are in force."""
    return Controls.read(context.steering.acts().place).in_force(context.now())


def again(rebuild: Rebuild) -> StartBuild:
    """Return the message that has a rebuild looked at again."""
    return StartBuild(replace(Push.from_key(rebuild.push), event=_EVENT), rebuild.task)


def _remember(context: Context, act: Act) -> None:
    for last in range(_TRIES):
        mark = context.steering.acts()
        known = Controls.read(mark.place)
        done = known.done(act)
        if done is known:
            return  # it was delivered before
        try:
            if done.before != known.before:
                _file(context, known)
            context.steering.save_acts(replace(mark, place=done.write()))
        except Conflict:
            # Each conflict is another's progress.
            if last == _TRIES - 1:
                raise
        else:
            return


def _file(context: Context, full: Controls) -> None:
    """Keep a page of acts by itself before the next one is begun."""
    page = full.before // PAGE
    mark = context.steering.acts(page)
    if not mark.version:
        kept = Controls(acts=full.acts, before=full.before).write()
        context.steering.save_acts(Bookmark(f"{PLACE}/{page}", kept))


def _waiting(context: Context) -> list[Rebuild]:
    registries = set(context.settings.task_registries)
    return [
        rebuild
        for rebuild in context.ledger.unsettled()
        if rebuild.state is State.HELD
        and rebuild.hold is Hold.GATE
        and rebuild.task.registry in registries
    ]


def _may_go_on(act: Act, rebuild: Rebuild) -> bool:
    if act.what is What.PAUSE or rebuild.held is None:
        return False
    return act.what is What.APPLY or any(
        isinstance(reason, Paused) and reason.target == str(act.target)
        for reason in rebuild.held.reasons
    )
