"""The gate: whether a rebuild may begin now, and if not, why and until when.

It is pure: the same question, policies, pauses and time give the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import reduce

from msgspec import Struct

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.policies.acts import Act
from rebuilder.core.policies.approval import Vote, lacking
from rebuilder.core.policies.holds import (
    CoolingDown,
    Frozen,
    OutsideWindow,
    Paused,
    PolicyUnreadable,
    UnknownPolicy,
)
from rebuilder.core.policies.matching import Moved, Subject
from rebuilder.core.policies.policy import Applied, Policies, applied, shown
from rebuilder.core.policies.reason import Reason
from rebuilder.core.policies.wave_holds import Awaited, WaitsForUpstream
from rebuilder.core.policies.windows import opens
from rebuilder.core.waves.canary import Quarantined, WaitsForCanary, quarantine


class Asked(Struct, frozen=True):
    """A rebuild that is to begin.

    Attributes:
        task: The task.
        moved: The images whose tags moved; of several, what is tighter counts.
        reads: Every other image that its run would read.
        tags: The task's tags.
        first: When the first of what is not built yet came.
        newest: When the newest of it came.
        by_hand: Whether somebody asked for it, which passes a cooldown and goes before upstream
            tasks.
        asked_by: Who did.
        votes: Who agreed to it, on these digests.
        wave: The key of the push that it belongs to.
        upstream: The tasks of its wave that it has to come after, and that are not over.
        bases: What it is to be built on, with digests.
        canary: What holds it of the tasks that go first; None if nothing does.
    """

    task: TaskId
    moved: tuple[Moved, ...]
    reads: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    first: datetime | None = None
    newest: datetime | None = None
    by_hand: bool = False
    asked_by: str = ""
    votes: tuple[Vote, ...] = ()
    wave: str = ""
    upstream: tuple[Awaited, ...] = ()
    bases: tuple[str, ...] = ()
    canary: WaitsForCanary | Quarantined | None = None


class InForce(Struct, frozen=True):
    """What operators decided.

    Attributes:
        policies: The policy file; nothing if there is none.
        pauses: The pauses, those that are over among them.
        unreadable: Why there is a policy file and no version of it can be read; "" if that is not
            so.
        broken: Why the newest version is not in force, but one before it; "" if it is.
        version: Tells whether anything was decided since.
        quarantined: The digests that nothing more is built on.
        released: Those that were, and were released.
    """

    policies: Policies | None = None
    pauses: tuple[Act, ...] = ()
    unreadable: str = ""
    broken: str = ""
    version: str = ""
    quarantined: tuple[Quarantined, ...] = ()
    released: tuple[str, ...] = ()


class Go(Struct, frozen=True):
    """It may begin."""


class Hold(Struct, frozen=True):
    """It waits.

    Attributes:
        reasons: Why: all of it, one at least.
        until: When all of it is over; None if somebody has to end some of it.
    """

    reasons: tuple[Reason, ...]
    until: datetime | None


def gate(asked: Asked, in_force: InForce, now: datetime) -> Go | Hold:
    """Tell whether a rebuild may begin.

    What denies wins: a pause or a freeze holds whatever else would let it begin.
    """
    reasons = (
        *_paused(asked, in_force, now),
        *_by_policy(asked, in_force, now),
        *_by_wave(asked),
        *_by_canary(asked, in_force),
    )
    if not reasons:
        return Go()
    ends = [reason.ends for reason in reasons]
    known = [end for end in ends if end is not None]
    return Hold(reasons, max(known) if len(known) == len(ends) else None)


def applies(
    policies: Policies, task: TaskId, moved: tuple[Moved, ...], tags: tuple[tuple[str, str], ...]
) -> Applied:
    """What applies to a task when images move: of several, what is tighter."""
    each = [applied(policies, Subject.of(task, one, tags)) for one in moved]
    return reduce(Applied.and_also, each)


def _paused(asked: Asked, in_force: InForce, now: datetime) -> Iterator[Reason]:
    images = tuple(
        name
        for reference in (*(moved.reference for moved in asked.moved), *asked.reads)
        for name in Moved(reference).names
    )
    for pause in in_force.pauses:
        if pause.until is not None and pause.until <= now:
            continue
        if pause.target.fits(asked.task.short, asked.task.registry.name, images):
            target = str(pause.target)
            yield Paused(target, pause.who, pause.because, pause.at, pause.until)


def _by_policy(asked: Asked, in_force: InForce, now: datetime) -> Iterator[Reason]:
    if in_force.unreadable:
        yield PolicyUnreadable(in_force.unreadable)
    policies = in_force.policies
    if policies is None:
        return
    frozen = {
        freeze: None
        for moved in asked.moved
        for freeze in policies.frozen(Subject.of(asked.task, moved, asked.tags), now)
    }
    for freeze in frozen:
        yield Frozen(freeze.name, freeze.ends)
    found = applies(policies, asked.task, asked.moved, asked.tags)
    if found.unknown:
        yield UnknownPolicy(found.unknown, policies.selectable)
    if not asked.by_hand and (cooling := _cooling(asked, found, now)):
        yield cooling
    opening = opens(found.windows, now)
    if opening is None or opening > now:
        yield OutsideWindow(tuple(map(shown, found.windows)), opening)
    name, who = asked.task.short, asked.asked_by
    # Whoever agrees agrees to digests, and those of what is upstream are still to come.
    comes_later = asked.upstream and not asked.by_hand
    if not comes_later and (
        needs := lacking(found.approval, asked.votes, task=name, asked_by=who, now=now)
    ):
        yield needs


def _by_wave(asked: Asked) -> Iterator[Reason]:
    if asked.upstream and not asked.by_hand:
        yield WaitsForUpstream.of(asked.wave, asked.upstream)


def _by_canary(asked: Asked, in_force: InForce) -> Iterator[Reason]:
    found = quarantine(asked.bases, in_force.quarantined)
    yield from found
    if asked.canary is not None and asked.canary.image not in {one.image for one in found}:
        yield asked.canary


def _cooling(asked: Asked, found: Applied, now: datetime) -> CoolingDown | None:
    if not found.cooldown:
        return None
    newest = min(asked.newest or now, now)
    first = min(asked.first or newest, newest)
    until = min(newest + found.cooldown, first + found.longest)
    return CoolingDown(newest, found.cooldown, first, until) if now < until else None
