"""Carry out what operators ask for: remember it, and look again at what it may let go on.

An act travels as a message, so that whoever may write into that queue can ask, and nobody else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from copy import replace
from datetime import datetime, timedelta
from uuid import uuid4

from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.policies.acts import (
    LONGEST,
    PAGE,
    PLACE,
    Act,
    Controls,
    NewPolicy,
    Target,
    What,
)
from rebuilder.core.policies.holds import Paused
from rebuilder.core.rebuilds.messages import ACTS, BUILDS, OperatorAct
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.core.times import ahead
from rebuilder.core.waves.canary import Quarantined, WaitsForCanary
from rebuilder.errors import Conflict, InvalidMessage, PermanentError
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.by_hand import build_tasks
from rebuilder.usecases.steering.letters import discard_letters, replay_letters
from rebuilder.usecases.steering.versions import put_in_force
from rebuilder.usecases.steering.votes import vote
from rebuilder.usecases.steering.waiting import again, held_rebuilds

log = logging.getLogger(__name__)

_TRIES = 20


def ask(
    context: Context,
    what: What,
    target: Target,
    *,
    who: str,
    because: str,
    until: datetime | None = None,
    of: tuple[str, ...] = (),
    force: bool = False,
    policy: NewPolicy | None = None,
) -> Act:
    """Ask for something to be carried out.

    Args:
        context: The ports.
        what: What.
        target: To what.
        who: Who asks.
        because: Why.
        until: Until when it holds; None if until somebody ends it.
        of: The rebuilds or dead letters that it is about, by their ids, or the tasks; see Act.
        force: Whether what it asks for does not wait for the gate.
        policy: The policy file that it is to put in force; see Act.

    Raises:
        TransientError: It was not taken over.
    """
    now = context.now()
    who, because = who[:LONGEST], because[:LONGEST]
    act = Act(uuid4().hex, what, target, who, because, now, until, of, force=force, policy=policy)
    context.queue.send(ACTS, OperatorAct(act).encode())
    return act


def carry_out(context: Context, act: Act) -> None:
    """Remember an act, do it, and remember what came of it; safe to repeat.

    Raises:
        TransientError: It is not carried out, or not wholly.
        InvalidMessage: It is of a time that has not come, or cannot be done.
    """
    if ahead(act.at, context.now(), timedelta(minutes=5)):
        # It would count as newer than every other on the same target until then.
        raise InvalidMessage(f"act {act.id} is of {act.at.isoformat()}, which is ahead")
    _remember(context, lambda known: known.done(act))
    try:
        came = _DONE[act.what](context, act)
    except PermanentError as error:
        came = f"nothing: {error}"
        _remember(context, lambda known: known.told(act.id, came))
        raise
    _remember(context, lambda known: known.told(act.id, came))
    told = f"{act.what} {act.target} by {act.who}: {act.because}"
    log.warning("act %s: %s; %s", act.id, told, came)


def history(context: Context, limit: int, skip: int = 0) -> Iterator[Act]:
    """Yield what operators did, newest first, so many acts at most.

    Args:
        context: The ports.
        limit: How many.
        skip: How many of the newest to leave out.
    """
    controls = Controls.read(context.steering.acts().place)
    left, before = limit, controls.before
    acts = controls.acts
    while acts and left > 0:
        found = acts[::-1][skip : skip + left]
        yield from found
        skip = max(skip - len(acts), 0)
        left -= len(found)
        before -= PAGE
        page = before // PAGE
        acts = Controls.read(context.steering.acts(page).place).acts if page >= 0 else ()


def paused(context: Context) -> tuple[Act, ...]:
    """Return the pauses that are in force."""
    return Controls.read(context.steering.acts().place).in_force(context.now())


def _hold_on(context: Context, _act: Act) -> str:
    context.in_force.forget()
    return "what fits waits from now on"


def _let_go(context: Context, act: Act) -> str:
    """Have what it may let go on looked at again."""
    context.in_force.forget()
    seen = context.in_force.now(context.steering, context.now()).version
    woken = [rebuild for rebuild in held_rebuilds(context) if _may_go_on(act, rebuild)]
    context.queue.send_many(BUILDS, [again(rebuild, seen).encode() for rebuild in woken])
    return f"{len(woken)} rebuild(s) looked at again"


def _put_in_force(context: Context, act: Act) -> str:
    """Put in force what the act holds, if it was not before, and have what waits looked at."""
    if act.policy is None:
        return _let_go(context, act)
    try:
        version = put_in_force(context, act, act.policy)
    except PermanentError as error:
        # To do it again would not help: whoever asked is told, and asks anew.
        return f"nothing: {error}"
    return f"version {version.number} is in force; {_let_go(context, act)}"


_DONE: Mapping[What, Callable[[Context, Act], str]] = {
    What.PAUSE: _hold_on,
    What.RESUME: _let_go,
    What.APPLY: _put_in_force,
    What.ROLLBACK: _put_in_force,
    What.APPROVE: vote,
    What.REJECT: vote,
    What.REFUSED: lambda _context, _act: "nothing was done",
    What.BUILD: build_tasks,
    What.RETRY: build_tasks,
    What.QUARANTINE: _hold_on,
    What.RELEASE: _let_go,
    What.REPLAY: replay_letters,
    What.DISCARD: discard_letters,
}


def _remember(context: Context, change: Callable[[Controls], Controls]) -> None:
    for last in range(_TRIES):
        mark = context.steering.acts()
        known = Controls.read(mark.place)
        done = change(known)
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


def _may_go_on(act: Act, rebuild: Rebuild) -> bool:
    of_digest = act.target.pattern if act.what is What.RELEASE else None
    return act.what in (What.APPLY, What.ROLLBACK) or any(
        reason.image == of_digest
        if isinstance(reason, Quarantined | WaitsForCanary)
        else isinstance(reason, Paused) and reason.target == str(act.target)
        for reason in (rebuild.held.reasons if rebuild.held else ())
    )
