"""Approval: people have to agree before a rebuild begins, each for the digests that they saw."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from rebuilder.core.policies.reason import Reason
from rebuilder.core.times import day_and_time


class Approval(Struct, frozen=True):
    """Who has to agree.

    Attributes:
        votes: How many people; 0 for none.
        expires: How long a vote counts.
        by_oneself: Whether the vote counts of whoever asked for the rebuild.
    """

    votes: int = 1
    expires: timedelta = timedelta(days=7)
    by_oneself: bool = False


class Vote(Struct, frozen=True):
    """That somebody agrees to a rebuild.

    Attributes:
        act: The act by which they said so.
        who: Who.
        because: Why.
        at: When.
    """

    act: str
    who: str
    because: str
    at: datetime


class NeedsApproval(Reason, frozen=True, tag="needs-approval"):
    """Fewer people have agreed than have to.

    Attributes:
        task: The task, as `REGISTRY/TASK`.
        needed: How many have to.
        given: The votes that count.
        expires: How long a vote counts.
        not_by: Whose vote does not count, for they asked for it; "" if everybody's does.
    """

    title = "needs approval"
    task: str
    needed: int
    given: tuple[Vote, ...]
    expires: timedelta
    not_by: str = ""

    def ender(self) -> str:
        """What ends it, as a sentence."""
        not_by = f", not by {self.not_by}, who asked for it" if self.not_by else ""
        return f"`rebuilder approve {self.task} --because WHY`, or `reject`{not_by}"

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        told = f"needs approval: {len(self.given)} of {self.needed} vote(s) for these digests"
        votes = (
            f"{v.who} at {day_and_time(v.at)} ({v.because}), until"
            f" {day_and_time(v.at + self.expires)}"
            for v in self.given
        )
        return ": ".join(filter(None, (told, "; ".join(votes))))


def stricter(now: Approval | None, said: Approval | None) -> Approval | None:
    """Return what asks for most of either."""
    if now is None or said is None:
        return now or said
    return Approval(
        max(now.votes, said.votes),
        min(now.expires, said.expires),
        now.by_oneself and said.by_oneself,
    )


def lacking(
    approval: Approval | None, votes: Iterable[Vote], *, task: str, asked_by: str, now: datetime
) -> NeedsApproval | None:
    """Return that more people have to agree; None if enough did.

    Args:
        approval: Who has to agree; None for nobody.
        votes: The votes for the digests that it is to be built on.
        task: The task, as `REGISTRY/TASK`.
        asked_by: Who asked for it; "" if a push did.
        now: The time.
    """
    if approval is None or not approval.votes:
        return None
    oneself = "" if approval.by_oneself else asked_by.casefold()
    # Of several votes of one person the last counts. What lies ahead is of a clock that is wrong,
    # and counts for as long as one that is given now.
    given = {
        vote.who.casefold(): vote
        for vote in sorted(votes, key=lambda vote: vote.at)
        if vote.who.casefold() != oneself and now < vote.at + approval.expires
    }
    if len(given) >= approval.votes:
        return None
    not_by = asked_by if oneself else ""
    return NeedsApproval(task, approval.votes, tuple(given.values()), approval.expires, not_by)
