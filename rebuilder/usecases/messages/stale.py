"""Have it told that tasks stand on old bases beyond the objective, once for each spell."""

from __future__ import annotations

import hashlib
import logging
from copy import replace
from datetime import timedelta

from rebuilder.core.messages.happening import Happening, of_spell
from rebuilder.core.messages.queued import ToBeTold
from rebuilder.core.messages.rules import What
from rebuilder.core.rebuilds.messages import MESSAGES
from rebuilder.errors import Conflict
from rebuilder.usecases.context import Context
from rebuilder.usecases.messages.tell import wanted
from rebuilder.usecases.staleness.report import summary

log = logging.getLogger(__name__)

_MOST = 500
"""How many are told by one look; the next one goes on."""

_KEPT = timedelta(days=365)
_HOUR = timedelta(hours=1)


def tell_stale(context: Context) -> int:
    """Have it told what stands on an old base for too long, if any rule is for that.

    Returns:
        How many were told that had not been.

    Raises:
        TransientError: The store cannot be reached; the next look goes on.
    """
    if not wanted(context, What.STALE):
        return 0
    found = summary(context, days=1)
    told = 0
    for spell in found.late:
        if told == _MOST:
            break
        source = str(spell.task)
        happening = of_spell(spell, source, found.now, found.objective / _HOUR)
        told += _once(context, happening)
    if told:
        log.info("%d task(s) beyond the objective are told of", told)
    return told


def _once(context: Context, happening: Happening) -> bool:
    name = hashlib.sha256(f"{happening.source}\n{happening.event}".encode()).hexdigest()
    mark = context.bookmarks.read(f"told/{name}")
    if mark.version:
        return False
    context.queue.send(MESSAGES, ToBeTold(happening).encode())
    try:
        kept_until = context.now() + _KEPT
        context.bookmarks.save(replace(mark, place="told", kept_until=kept_until))
    except Conflict:
        log.info("%s: told by another, too", happening.event)
    return True
