"""What a message to start a build waits for, and how it is put back."""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from copy import replace
from datetime import datetime, timedelta

from msgspec import Struct

from rebuilder.core.acr.tasks import Run
from rebuilder.core.rebuilds.messages import BUILDS, LONGEST_DELAY, StartBuild
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import Conflict
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

_LONGEST = timedelta(minutes=5)
"""The longest time between two looks at whether a run is over that something waits for."""


class PutBack(Struct, frozen=True):
    """That a message is to be delivered again later.

    Attributes:
        delay: How much later.
        reason: What it waits for.
        counted: Whether it is one of those that wait for the same, of which one goes on; else it
            has something of its own, a turn.
    """

    delay: timedelta
    reason: str
    counted: bool = True


def until_due(head: Rebuild, now: datetime) -> PutBack:
    """Return when to look again at a rebuild that something is to happen to later."""
    words = {
        State.SUCCEEDED: f"repair {head.repair + 1} after {head.id}",
        State.FAILED: f"attempt {head.attempt + 1} of {head.id}",
    }
    due = now if head.due is None else head.due
    return PutBack(due - now, words.get(head.state, f"ARM: {head.outcome}"))


def until_run(context: Context, other: Run) -> PutBack:
    """Return when to look again whether a run of others is over."""
    return until_end(context, f"run {other.run_id}", other.created)


def until_end(context: Context, of: str, began: datetime | None) -> PutBack:
    """Return when to look again whether something is over that has gone on for a while.

    What has taken long is looked at less often: each look puts a message back, and one whose
    sending was not answered is there twice from then on.
    """
    least = context.settings.track_interval
    lasted = timedelta() if began is None else context.now() - began
    return PutBack(max(least, min(lasted / 4, _LONGEST)), f"end of {of}")


def wait(context: Context, message: StartBuild, back: PutBack, owner: str) -> None:
    """Put a message back, unless another one waits for the same already.

    A message whose sending was not answered is there twice, and each copy would be put back for
    as long as there is something to wait for. So those that wait are counted: the one that is
    marked goes on, and whichever comes after it, or counted alike, is dropped. It is sent before it
    is marked, so that there always is one.
    """
    words = f"{message.task} {message.push.key} {message.forced}"
    mark = context.bookmarks.read(f"wait/{hashlib.sha256(words.encode()).hexdigest()}")
    number, _, waiter = mark.place.partition(" ")
    newest = int(number or 0)
    alike = message.wait == newest and waiter not in ("", message.waiter)
    if 0 < message.wait < newest or (message.wait and alike):
        log.info("task %s: another message waits for: %s", message.task, back.reason)
        return
    count = max(newest, message.wait) + 1
    put_back(context, replace(message, wait=count, waiter=owner), back)
    kept_until = context.now() + 2 * LONGEST_DELAY
    with suppress(Conflict):  # a copy was marked meanwhile, and goes on
        context.bookmarks.save(replace(mark, place=f"{count} {owner}", kept_until=kept_until))


def put_back(context: Context, message: StartBuild, back: PutBack) -> None:
    """Have a message delivered again later."""
    context.queue.send(BUILDS, message.encode(), back.delay)
    log.info("task %s: back in %s, waiting for: %s", message.task, back.delay, back.reason)
