"""What operators decided, asked before a rebuild is claimed: it may begin, or is held.

A rebuild that is held is a record like any other, with its reasons and with when it is looked at
next. Its message is put off until then; one more that comes before finds that nothing has changed
and is dropped, so that of any number of pushes meanwhile one rebuild comes, on the newest digests.
"""

from __future__ import annotations

import logging
from copy import replace
from datetime import datetime, timedelta

from rebuilder.core.acr.tasks import Task
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.operators import IgnoredByPolicy, WouldRebuild
from rebuilder.core.events.pushes import Push
from rebuilder.core.lines.line import Waiter, rank
from rebuilder.core.policies.gate import Asked, Go, InForce, applies, gate
from rebuilder.core.policies.holds import Held
from rebuilder.core.policies.matching import Moved
from rebuilder.core.policies.policy import Applied
from rebuilder.core.policies.wave_holds import Awaited, WaitsForUpstream
from rebuilder.core.rebuilds.messages import BUILDS
from rebuilder.core.rebuilds.next_step import SOON
from rebuilder.core.rebuilds.rebuild import LONGEST_GATE, Hold, Rebuild, State
from rebuilder.core.waves.canary import Quarantined, WaitsForCanary
from rebuilder.errors import Conflict
from rebuilder.usecases.build._delivery import Delivery
from rebuilder.usecases.build._schedule import schedule
from rebuilder.usecases.build._waiting import PutBack
from rebuilder.usecases.context import Context
from rebuilder.usecases.messages.tell import tell
from rebuilder.usecases.steering import places
from rebuilder.usecases.waves import canaries
from rebuilder.usecases.waves.upstream import known_upstream, upstream

log = logging.getLogger(__name__)

_LATER = "later"
"""The event of a message that was put off by one whose turn it was."""

_LEAST_LOOK, _LONGEST_LOOK = timedelta(minutes=2), timedelta(hours=1)
"""Between two looks at whether what a rebuild waits for is over, should nobody tell."""


def ignored(delivery: Delivery, task: Task, base: Base) -> IgnoredByPolicy | None:
    """Return that a policy has a task left alone when an image moves; None if none has."""
    policies, hand = in_force(delivery.context).policies, delivery.message.hand
    if policies is None or (hand is not None and hand.force):
        return None
    found = applies(policies, task.id, (_moved(task, str(base.reference)),), task.tags)
    if not found.ignore:
        return None
    rule = dict(found.sources).get("ignore", "")
    return IgnoredByPolicy(task.id, str(base.reference), base.digest, rule)


def still_held(delivery: Delivery, head: Rebuild) -> Rebuild | None:
    """Return a rebuild that is held if nothing can have changed; None if it is to be looked at.

    Neither ARM nor a registry is asked: what waits for weeks costs next to nothing.
    """
    context, held = delivery.context, head.held
    delivery.lined = delivery.lined or places.waits(head)
    if held is None or not _is_held(head) or delivery.message.forced:
        return None
    if delivery.message.push.event == places.TURN:
        return None
    now, controls = context.now(), in_force(context, delivery.message.seen)
    if waits := head.waits_for(WaitsForUpstream):
        awaited = known_upstream(context, head.task, head.began_with)
        if {a.task for a in awaited}.isdisjoint(a.task for a in waits.tasks):
            return None
        head = _awaiting(context, head, held, awaited)
    if (canary := head.waits_for(WaitsForCanary)) and not canaries.still_awaited(context, canary):
        return None
    if delivery.message.push.key != head.push or controls.version != held.controls:
        return None
    if held.until is not None and held.until <= now:
        return None
    return _wait(delivery, head, head, now)


def hold_back(delivery: Delivery, rebuild: Rebuild, task: Task, base: Base) -> Rebuild | None:
    """Hold a rebuild that may not begin now.

    Args:
        delivery: The delivery.
        rebuild: The rebuild: a new one, or one that was held or taken over.
        task: The task, with every dependency that is known of it.
        base: The tag that moved.

    Returns:
        The rebuild as it is held; None if it may begin.

    Raises:
        Conflict: Another delivery was quicker.
        TransientError: What operators decided cannot be read.
    """
    context = delivery.context
    controls = in_force(context)
    awaited = () if delivery.message.forced else upstream(context, task, rebuild.began_with)
    free = controls.policies is None and not controls.pauses and not controls.unreadable
    if free and not awaited and not controls.quarantined:
        return None
    now = context.now()
    came, told = _told_of(delivery, base, now)
    built = delivery.built_at
    # If it was built on another digest of the tag since this one was told of, the tag went back
    # after that, which was told last.
    since = came if built is None or built <= came else min(max(built, told), now)
    before = rebuild.held or Held((), since, came)
    follows = {name.rpartition("@")[0] for name in rebuild.bases}
    if before.moved and follows.isdisjoint(before.moved):
        # The task was edited: it reads nothing any more of what was waited for.
        before = replace(before, first=since, newest=came)
    hand = delivery.message.hand
    asked_by = before.asked_by if hand is None else hand.who
    forced = hand if hand is not None and hand.force else before.forced
    moved = tuple(sorted({*before.moved, str(base.reference)} & follows))
    # What waits for the tag goes on to wait, also for a digest that it named before that.
    first = before.first if str(base.reference) in before.moved else min(before.first, since)
    newest = max(before.newest, came)
    asked = Asked(
        task.id,
        tuple(_moved(task, reference) for reference in moved),
        tuple(sorted(follows)),
        task.tags,
        first,
        newest,
        by_hand=delivery.message.forced or bool(asked_by),
        asked_by=asked_by,
        votes=before.votes,
        wave=rebuild.began_with,
        upstream=awaited,
        bases=rebuild.bases,
    )
    if controls.policies is not None:
        asked = replace(asked, canary=_canary(context, rebuild, task, asked, controls))
    found = gate(asked, controls, now)
    held = Held(
        () if isinstance(found, Go) else found.reasons,
        first,
        newest,
        moved,
        controls.version,
        before.votes,
        asked_by,
        lined=before.lined,
        forced=forced,
    )
    if not isinstance(found, Go):
        if forced is None:
            return _hold(delivery, rebuild, held)
        log.warning("task %s: forced %s: %s", task.id, forced.sentence(), held.sentence())
        delivery.held = held
    return _ask_for_place(delivery, rebuild, task, asked, held)


def _ask_for_place(
    delivery: Delivery, rebuild: Rebuild, task: Task, asked: Asked, held: Held
) -> Rebuild | None:
    """Hold a rebuild for which there is no place now; None if there is one, or it needs none."""
    context = delivery.context
    now, policies = context.now(), in_force(context).policies
    if policies is None:
        return None
    found = applies(policies, asked.task, asked.moved, asked.tags)
    rooms = policies.rooms(task.id, task.agent_pool, found)
    if not rooms or context.settings.observe:
        return None
    lined = replace(held, lined=held.lined or now)
    since, priority = lined.lined or now, found.priority
    place = Waiter(
        rebuild.task, rebuild.sequence, rooms, rank(since, priority), priority, asked=now
    )
    delivery.place, delivery.held = place, lined
    refused = places.ask(context, place, rebuild)
    if refused is None:
        return None
    return _hold(delivery, rebuild, replace(lined, reasons=(refused,)))


def begin(delivery: Delivery, rebuild: Rebuild) -> TaskDecision | Rebuild | PutBack:
    """Begin a rebuild that is claimed: take its place, and schedule its run.

    Returns:
        The rebuild, as it is scheduled or held after all; why there is none; when to look again.

    Raises:
        TransientError: Nothing was sent.
    """
    place, held = delivery.place, delivery.held
    if place is not None and held is not None:
        delivery.lined = True
        refused = places.take(delivery.context, place, rebuild)
        if refused is not None:
            # Somebody was quicker since there was one.
            return _hold(delivery, rebuild, replace(held, reasons=(refused,)), stored=True)
    return schedule(delivery, rebuild)


def _hold(delivery: Delivery, rebuild: Rebuild, held: Held, *, stored: bool = False) -> Rebuild:
    """Hold a rebuild; `stored` tells that it is known to be stored as it is."""
    now = delivery.context.now()
    wanted = replace(
        rebuild,
        state=State.HELD,
        hold=Hold.GATE,
        held=held,
        lease_until=now,
        outcome=held.sentence(),
    )
    return _wait(delivery, rebuild, wanted, now, stored=stored)


def attempts(context: Context, rebuild: Rebuild, task: Task | None) -> int:
    """Return how often a build of a task that fails is tried.

    Args:
        context: The ports.
        rebuild: The rebuild.
        task: The task as ARM tells of it; None if it is gone.
    """
    policies, most = places.known_policies(context), context.settings.build_attempts
    if policies is None:
        return most
    references = sorted(name.rpartition("@")[0] for name in rebuild.bases)
    moved = tuple(Moved(r) if task is None else _moved(task, r) for r in references)
    found = applies(policies, rebuild.task, moved, task.tags if task else ()) if moved else None
    return most if found is None or found.attempts is None else found.attempts


def would_rebuild(context: Context, rebuild: Rebuild, base: Base) -> WouldRebuild | None:
    """Return that a rebuild is not begun because the product only observes; None if it acts."""
    if not context.settings.observe:
        return None
    return WouldRebuild(rebuild.task, str(base.reference), base.digest, rebuild.bases)


def waited(head: Rebuild | None, key: str) -> Held | None:
    """Return what is kept of the newest rebuild, for the one in its place.

    The first image that is not built on waits on, whatever is pushed after it; what people agreed
    to are these digests, on which a next attempt is, and no others.

    Args:
        head: The task's newest rebuild, if there is one.
        key: The key of the one in its place.
    """
    if head is None or head.held is None:
        return None
    if head.key == key and (head.held.votes or head.held.asked_by):
        return replace(head.held, reasons=(), rejected=None, lined=None, forced=None)
    if not _is_held(head) and not head.overtaken:
        return None
    return replace(head.held, votes=(), asked_by="", forced=None)


def in_force(context: Context, seen: str = "") -> InForce:
    """Return what operators decided; see Known.now."""
    return context.in_force.now(context.steering, context.now(), seen)


def _awaiting(context: Context, head: Rebuild, held: Held, awaited: tuple[Awaited, ...]) -> Rebuild:
    """Tell of a rebuild that is held what it still waits for."""
    now = WaitsForUpstream.of(head.began_with, awaited)
    reasons = tuple(now if isinstance(r, WaitsForUpstream) else r for r in held.reasons)
    if reasons == held.reasons:
        return head
    told = replace(held, reasons=reasons)
    return context.ledger.save(replace(head, held=told, outcome=told.sentence()))


def _is_held(head: Rebuild) -> bool:
    return head.state is State.HELD and head.hold is Hold.GATE


def _wait(
    delivery: Delivery,
    before: Rebuild,
    wanted: Rebuild,
    now: datetime,
    *,
    stored: bool = False,
) -> Rebuild:
    """Keep a rebuild held, with one message for when it is to be looked at."""
    context = delivery.context
    due, held = before.due, wanted.held
    ahead = due is not None and now + SOON < due <= now + LONGEST_GATE
    if _is_held(before) and before.held == held and ahead:
        log.info("rebuild %s is held on: %s", before.id, before.outcome)
        return before
    latest = _due(wanted, now)
    if not (_is_held(before) and ahead and due is not None and due <= latest):
        # Else there is a message for a time at which it can be looked at as well.
        due = latest
        # The message goes first: one too many is dropped. It comes when it is time.
        push = delivery.message.push
        told = replace(push, event=_LATER) if push.event == places.TURN else push
        message = replace(delivery.message, push=told, turn=None, wait=0, waiter="")
        context.queue.send(BUILDS, message.encode(), due - now + SOON)
    kept = replace(wanted, due=due)
    tell(context, kept, before)
    if stored or before.state is State.HELD or before.version > 1:
        kept = context.ledger.save(kept)
    elif not context.ledger.claim(kept):
        raise Conflict(f"task {kept.task}: {kept.id} was claimed by another delivery")
    log.info("rebuild %s of %s is held: %s", kept.id, kept.task, kept.outcome)
    return kept


def _due(rebuild: Rebuild, now: datetime) -> datetime:
    """Return when a rebuild that is held is looked at next.

    One that waits for others is looked at when they are over; should that be missed, it looks by
    itself, later and later.
    """
    held = rebuild.held
    until = None if held is None else held.until
    due = now + LONGEST_GATE if until is None else min(until, now + LONGEST_GATE)
    if rebuild.waits_for(WaitsForUpstream) or rebuild.waits_for(WaitsForCanary):
        lasted = now - rebuild.claimed_at
        due = min(due, now + max(_LEAST_LOOK, min(lasted / 4, _LONGEST_LOOK)))
    return due


def _told_of(delivery: Delivery, base: Base, now: datetime) -> tuple[datetime, datetime]:
    """Return when an image was told of first, and last; its own account proves nothing."""
    push = replace(delivery.message.push, digest=base.digest)
    known = delivery.context.ledger.push(push.key)
    return (now, now) if known is None else (min(known.first_at, now), known.last_at)


def _canary(
    context: Context, rebuild: Rebuild, task: Task, asked: Asked, controls: InForce
) -> WaitsForCanary | Quarantined | None:
    """Return what canaries hold a rebuild for: those of its wave, or of what moved beside it."""
    policies, wave = controls.policies, Push.from_key(rebuild.began_with)
    if policies is None or not policies.watches:
        return None
    of = applies(policies, asked.task, asked.moved, asked.tags)
    found = canaries.hold(context, rebuild, wave, of, controls)

    def of_tag(tag: str) -> Applied:
        return applies(policies, asked.task, (_moved(task, tag),), asked.tags)

    def watched(tag: str) -> bool:
        canary = of_tag(tag).canary
        return canary is not None and not canary.names(asked.task.short)

    for tag, push in canaries.beside(context, rebuild, task, watched):
        if found is not None:
            break
        found = canaries.hold(context, rebuild, push, of_tag(tag), controls)
    return found


def _moved(task: Task, reference: str) -> Moved:
    kinds = {d.kind.value for d in task.dependencies if str(d.reference) == reference}
    return Moved(reference, frozenset(kinds))
