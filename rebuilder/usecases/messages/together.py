"""What is told together: collected in a bookmark, and sent when it is time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import replace
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from rebuilder.core.messages import texts
from rebuilder.core.messages.happening import Happening
from rebuilder.core.messages.queued import ToSendTogether
from rebuilder.core.rebuilds.messages import MESSAGES
from rebuilder.core.shown import shown
from rebuilder.core.structs import prepared
from rebuilder.errors import Conflict
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

_TRIES = 50
_LINES = 60
"""How many are told in full; a bookmark takes no more, and nobody reads them."""

_LINE = 300
_KEPT = timedelta(days=30)


@prepared
class Waiting(Struct, frozen=True):
    """What waits to be told together.

    Attributes:
        lines: What happened, each with what tells it from others.
        more: How many more there were.
        due: When it is to be sent.
    """

    lines: tuple[tuple[str, str], ...] = ()
    more: int = 0
    due: datetime | None = None


def collect(context: Context, rule: str, to: str, happening: Happening, due: datetime) -> None:
    """Keep something to be told together with what else happens until then.

    Raises:
        TransientError: The store cannot be reached.
    """
    key = f"{happening.source}/{happening.event}"[-_LINE:]
    line = shown(texts.line(happening), _LINE)

    def with_it(waiting: Waiting) -> Waiting | None:
        if any(known == key for known, _ in waiting.lines):
            return None
        limit = context.settings.message_limit
        if not waiting.lines or waiting.due is None or waiting.due + limit < context.now():
            # The message goes first: one too many finds nothing, or the same.
            together = ToSendTogether(rule, to).encode()
            context.queue.send(MESSAGES, together, due - context.now())
            waiting = replace(waiting, due=due)
        if len(waiting.lines) >= _LINES:
            return replace(waiting, more=waiting.more + 1)
        return replace(waiting, lines=(*waiting.lines, (key, line)))

    _change(context, rule, to, with_it)


def collected(context: Context, rule: str, to: str) -> Waiting:
    """Return what waits to be told together."""
    return _read(context.bookmarks.read(_name(rule, to)).place)


def forget(context: Context, rule: str, to: str, told: Waiting) -> None:
    """Forget what was told; what came since is told the next time.

    Raises:
        TransientError: The store cannot be reached: it is told again.
    """
    keys = {key for key, _ in told.lines}

    def without(waiting: Waiting) -> Waiting:
        left = tuple(entry for entry in waiting.lines if entry[0] not in keys)
        more = max(waiting.more - told.more, 0)
        if not left and not more:
            return Waiting()
        now = context.now()
        due = max(now, told.due or now) + timedelta(minutes=1)
        context.queue.send(MESSAGES, ToSendTogether(rule, to).encode(), due - now)
        left = left or (("more", f"{more} more came while this was told"),)
        return Waiting(left, more, due)

    _change(context, rule, to, without)


def _change(
    context: Context, rule: str, to: str, change: Callable[[Waiting], Waiting | None]
) -> None:
    for last in range(_TRIES):
        mark = context.bookmarks.read(_name(rule, to))
        changed = change(_read(mark.place))
        if changed is None:
            return
        place = msgspec.json.encode(changed).decode()
        kept_until = context.now() + _KEPT
        try:
            context.bookmarks.save(replace(mark, place=place, kept_until=kept_until))
        except Conflict:
            # Each conflict is another's progress.
            if last == _TRIES - 1:
                raise
        else:
            return


def _read(place: str) -> Waiting:
    if not place:
        return Waiting()
    try:
        return msgspec.json.decode(place, type=Waiting)
    except msgspec.DecodeError as error:
        log.warning("what was collected to be told cannot be read: %s", error)
        return Waiting()


def _name(rule: str, to: str) -> str:
    return f"together/{rule}/{to}"
