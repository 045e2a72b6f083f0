"""How it is now: what is under way, what waits and for what, and what somebody has to look at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from rebuilder.core.policies.acts import Act, Controls
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import Denied, RebuilderError
from rebuilder.isolation import attempt
from rebuilder.ports.ledger import FirstDelivery, PushRecord
from rebuilder.usecases.context import Context
from rebuilder.usecases.views._values import Attempt, Value, Waits, attempt_of

_SHOWN = 200
"""How many rebuilds of a kind, and how many pushes, are told in full."""

_LATELY = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
_FEW = 12
_AHEAD = timedelta(hours=24)


class Waiting(Value, frozen=True):
    """What waits for one reason.

    Attributes:
        code: The reason.
        title: The reason in a few words.
        count: How many rebuilds wait for it.
        next: When the first of them may go on; None if somebody has to end it for all.
        rebuilds: The first of them.
    """

    code: str
    title: str
    count: int
    next: datetime | None
    rebuilds: tuple[Attempt, ...]


class Pause(Value, frozen=True):
    """Something that is paused, or quarantined.

    Attributes:
        scope: What kind of things: all, registry, task or base.
        pattern: Which; "" for all.
        who: Who paused it.
        because: Why.
        at: When.
        until: Until when; None if until somebody resumes it.
    """

    scope: str
    pattern: str
    who: str
    because: str
    at: datetime
    until: datetime | None


class Pushed(Value, frozen=True):
    """A push.

    Attributes:
        key: Names it.
        image: The image.
        digest: What its tag came to name.
        at: When it was first told.
    """

    key: str
    image: str
    digest: str
    at: datetime


class Overview(Value, frozen=True):
    """How it is now.

    Attributes:
        now: When this was looked up.
        mode: `act`, or `observe`: nothing is started.
        building: What has a run, or is about to.
        waiting: What waits, by the reason.
        retrying: What failed and is tried again.
        counts: How many rebuilds are building, waiting, retrying; dead letters; pushes told of.
        pauses: What is paused.
        policy_problem: Why the newest policy file is not in force, or cannot be told; "" if it is.
        quarantined: What nothing more is built on: images with digests.
        pushes: The newest pushes, newest first: of the last hour, or of a day if those are few.
    """

    now: datetime
    mode: str
    building: tuple[Attempt, ...]
    waiting: tuple[Waiting, ...]
    retrying: tuple[Attempt, ...]
    counts: dict[str, int]
    pauses: tuple[Pause, ...]
    policy_problem: str
    quarantined: tuple[Pause, ...]
    pushes: tuple[Pushed, ...]


class Changes(Value, frozen=True):
    """Whether anything has changed.

    Attributes:
        state: Names what there is: it is another one as soon as something has changed.
        busy: Whether something is about to change: a run is under way.
    """

    state: str
    busy: bool


def overview(context: Context) -> Overview:
    """Look how it is now.

    Raises:
        TransientError: The store cannot be reached.
    """
    now = context.now()
    unsettled = _ours(context)
    held = [rebuild for rebuild in unsettled if rebuild.state is State.HELD]
    building = [r for r in unsettled if not r.state.over and r.state is not State.HELD]
    retrying = [r for r in unsettled if r.state.over]
    pushes = _lately(context, now)
    controls = controls_of(context)
    letters = context.dead_letters.waiting()
    counts = {
        "building": len(building),
        "waiting": len(held),
        "retrying": len(retrying),
        "deadLetters": len(letters),
        "pushes": len(pushes),
    }
    return Overview(
        now,
        "observe" if context.settings.observe else "act",
        tuple(map(attempt_of, building[:_SHOWN])),
        _by_reason(held),
        tuple(map(attempt_of, retrying[:_SHOWN])),
        counts,
        tuple(map(_pause, controls.in_force(now))),
        _policy_problem(context),
        tuple(map(_pause, controls.quarantined)),
        tuple(map(pushed, pushes[: -_SHOWN - 1 : -1])),
    )


def changes(context: Context) -> Changes:
    """Tell whether anything has changed, in as little work as can be.

    Raises:
        TransientError: The store cannot be reached.
    """
    now = context.now()
    unsettled = _ours(context)
    lately = context.ledger.pushes_between(now - _LATELY[0], now + _AHEAD)
    parts = [
        *(f"{rebuild.task} {rebuild.sequence} {rebuild.version}" for rebuild in unsettled),
        *(letter.id for letter in context.dead_letters.waiting()),
        *(f"{push.push.key} {push.at.isoformat()}" for push in lately[-_SHOWN:]),
        str(context.steering.acts().version),
    ]
    state = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]
    return Changes(state, any(rebuild.state is not State.HELD for rebuild in unsettled))


def _lately(context: Context, now: datetime) -> list[FirstDelivery]:
    """Return the pushes of lately: where there are many, nobody reads those of a whole day."""
    found: list[FirstDelivery] = []
    for span in _LATELY:
        found = context.ledger.pushes_between(now - span, now + _AHEAD)
        if len(found) >= _FEW:
            break
    return found


def controls_of(context: Context) -> Controls:
    """Return what operators did last; nothing where it cannot be read."""
    found = attempt(lambda mark: Controls.read(mark.place), context.steering.acts())
    return Controls() if isinstance(found, RebuilderError) else found


def _ours(context: Context) -> list[Rebuild]:
    registries = set(context.settings.task_registries)
    found = [r for r in context.ledger.unsettled() if r.task.registry in registries]
    return sorted(found, key=lambda rebuild: rebuild.claimed_at, reverse=True)


def _by_reason(held: Iterable[Rebuild]) -> tuple[Waiting, ...]:
    found: dict[str, list[tuple[Attempt, Waits]]] = {}
    for told in map(attempt_of, held):
        for reason in told.waits:
            found.setdefault(reason.code, []).append((told, reason))
    return tuple(
        Waiting(
            code,
            entries[0][1].title,
            len(entries),
            min((why.until for _, why in entries if why.until is not None), default=None),
            tuple(told for told, _ in entries[:_SHOWN]),
        )
        for code, entries in sorted(found.items(), key=lambda item: -len(item[1]))
    )


def _pause(act: Act) -> Pause:
    target = act.target
    return Pause(target.scope.value, target.pattern, act.who, act.because, act.at, act.until)


def pushed(told: FirstDelivery | PushRecord) -> Pushed:
    """Return a push as it is told."""
    push = told.push
    at = told.at if isinstance(told, FirstDelivery) else told.first_at
    host = str(push.registry).rpartition("/")[2]
    return Pushed(push.key, f"{host}/{push.repository}:{push.tag}", push.digest, at)


def _policy_problem(context: Context) -> str:
    try:
        return context.in_force.now(context.steering, context.now()).broken
    except Denied:
        return "which policy file is in force is not known here: there is no right to read it"
    except RebuilderError as error:
        return f"which policy file is in force is not known: {error}"
