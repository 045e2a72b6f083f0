"""What comes next for a task: by its newest rebuild, what is wanted, and the time; pure.

docs/architecture.md has the same as a table, of which each row is a test.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from rebuilder.core.rebuilds.rebuild import LONGEST_LEASE, Hold, Rebuild, State
from rebuilder.core.times import ahead

SOON = timedelta(seconds=1)
"""What is due within this is due."""


class Step(StrEnum):
    """What comes next, as docs/architecture.md says it."""

    BEGIN = "a new rebuild"
    BEGIN_AGAIN = "a new rebuild, counted as one more on these digests"
    BEGIN_INSTEAD = "a new rebuild; the newest one is skipped"
    BEGIN_BESIDE_REPAIR = "a new rebuild; the repair, if that would close a cycle"
    ATTEMPT = "the next attempt"
    REPAIR = "the repair, unless another run has ended since"
    GO_ON = "the newest rebuild goes on"
    TAKE_OVER = "it is taken over: its run is looked for in ARM"
    PUT_RIGHT = "its lease begins again, by a clock that is right"
    WAIT_FOR_CLAIM = "the message comes back: whoever holds the lease is at work"
    WAIT_FOR_RUN = "the message comes back: two runs at once may end in any order"
    WAIT_UNTIL_DUE = "the message comes back when it is due"
    BUILT = "nothing: already built on"
    UNDER_WAY = "nothing: under way"
    GIVEN_UP = "nothing: given up"
    OWN_OUTPUT = "nothing: it would never end"


class Wanted(Struct, frozen=True):
    """What a message asks for, and what is known of it.

    Attributes:
        key: What the task is to be built on; see `rebuild_key`.
        image: The tag that moved, with the digest that it names now.
        owner: The delivery that asks: a claim of its own goes on.
        asked: Whether somebody asked for a rebuild, and none was begun since.
        retry: Whether one that was given up is to be tried again.
        away: Whether what the newest rebuild on these digests leaves is not, or may not be, what
            the task stands on: the tag named another image meanwhile, or another run came after.
    """

    key: str
    image: str
    owner: str = ""
    asked: bool = False
    retry: bool = False
    away: bool = False


def next_step(head: Rebuild | None, wanted: Wanted, now: datetime) -> Step:
    """Return what comes next for a task.

    Args:
        head: The task's newest rebuild; None if there was none.
        wanted: What is asked for.
        now: The time.
    """
    if head is None:
        return Step.BEGIN
    if head.owner != wanted.owner and (claimed := of_claim(head, now)):
        return claimed
    if head.key != wanted.key:
        return _on_other_digests(head, wanted)
    return _on_the_same(head, wanted, now)


def of_claim(head: Rebuild, now: datetime) -> Step | None:
    """Return what comes next for a claim of another delivery; None if the rebuild is none."""
    if head.state is not State.CLAIMED:
        return None
    # It ends later than one can, or ended so long ago that somebody had gone on with it by now.
    if ahead(head.lease_until, now, LONGEST_LEASE) or now - head.lease_until > LONGEST_LEASE:
        return Step.PUT_RIGHT
    return Step.WAIT_FOR_CLAIM if now < head.lease_until else Step.TAKE_OVER


def waits(head: Rebuild, now: datetime) -> bool:
    """Tell whether what a rebuild waits for is still ahead, and by no clock that is wrong."""
    return head.due is not None and now < head.due and not ahead(head.due, now, head.longest_wait)


def _on_other_digests(head: Rebuild, wanted: Wanted) -> Step:
    if head.state.in_flight:
        return Step.WAIT_FOR_RUN
    if wanted.image.lower() in map(str.lower, head.output_images):
        return Step.OWN_OUTPUT
    if not head.unsettled:
        return Step.BEGIN
    repair = head.state is State.SUCCEEDED
    return Step.BEGIN_BESIDE_REPAIR if repair else Step.BEGIN_INSTEAD


def _on_the_same(head: Rebuild, wanted: Wanted, now: datetime) -> Step:
    match head.state:
        case State.SCHEDULED | State.RUNNING:
            return Step.WAIT_FOR_RUN if wanted.away else Step.UNDER_WAY
        case State.SUCCEEDED:
            return _after_success(head, wanted, now)
        case State.FAILED:
            early = waits(head, now) and not wanted.asked
            return Step.WAIT_UNTIL_DUE if early else Step.ATTEMPT
        case State.GIVEN_UP:
            # A run of the native trigger may have used less than the rebuild it was taken for.
            again = wanted.retry or wanted.image not in head.bases
            return Step.BEGIN if again else Step.GIVEN_UP
        case State.SKIPPED:
            return Step.BEGIN
        case State.HELD if head.hold is Hold.ARM and waits(head, now + SOON):
            return Step.WAIT_UNTIL_DUE
    return Step.GO_ON


def _after_success(head: Rebuild, wanted: Wanted, now: datetime) -> Step:
    if wanted.asked or wanted.away:
        return Step.BEGIN_AGAIN
    if wanted.image not in head.bases:
        return Step.BEGIN
    if not head.missed:
        return Step.BUILT
    if not head.repairable:
        return Step.BEGIN_AGAIN
    return Step.WAIT_UNTIL_DUE if waits(head, now) else Step.REPAIR
