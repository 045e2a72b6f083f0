"""Have somebody told: one message into a queue of its own, before what it tells is recorded.

A record without its message would never be told; a message that comes before its record waits for
it, and one whose record never came is dropped. Whom to tell is worked out where it is read.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from rebuilder.core.events.dead_letters import DeadLetter
from rebuilder.core.messages.happening import what_of
from rebuilder.core.messages.queued import LetterCame, RebuildCame
from rebuilder.core.messages.rules import What
from rebuilder.core.rebuilds.messages import MESSAGES
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import RebuilderError
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

_SOON = timedelta(seconds=2)
"""So soon the record is there."""


def tell(context: Context, rebuild: Rebuild, before: Rebuild | None = None) -> None:
    """Have it told that a rebuild is about to be recorded in a state, if any rule is for that.

    Args:
        context: The ports.
        rebuild: The rebuild as it is to be.
        before: As it is recorded now, where it may be in that state already.

    Raises:
        TransientError: The store cannot be reached.
    """
    what = what_of(rebuild)
    if what is None:
        return
    known = before is not None and before.state is State.HELD and what_of(before) is what
    if known and rebuild.state is State.HELD:
        return  # it is held on, for the same
    if wanted(context, what):
        came = RebuildCame(str(rebuild.task), rebuild.sequence, what)
        context.queue.send(MESSAGES, came.encode(), _SOON)


def tell_letter(context: Context, letter: DeadLetter) -> None:
    """Have it told that a dead letter is about to be kept; not of a message of this kind.

    Raises:
        TransientError: The store cannot be reached.
    """
    if letter.source != MESSAGES and wanted(context, What.DEAD_LETTER):
        context.queue.send(MESSAGES, LetterCame(letter.id).encode(), _SOON)


def wanted(context: Context, what: What) -> bool:
    """Tell whether a rule is for something; yes if the rules cannot be read now."""
    try:
        found = context.in_force.now(context.steering, context.now())
    except RebuilderError as error:
        log.warning("whom to tell is not known yet: %s", error)
        return True
    if found.policies is None:
        return bool(found.unreadable)
    return any(what in rule.what for rule in found.policies.messages)
