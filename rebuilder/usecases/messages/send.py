"""Work off what is to be told: whom, when, together or at once; and send it.

Each receiver has a message of its own, so that one that is out of order keeps no other waiting.
"""

from __future__ import annotations

import logging
from datetime import datetime

from rebuilder.core.messages import events, texts
from rebuilder.core.messages.destinations import Destination, Kind
from rebuilder.core.messages.happening import Happening, of_letter, of_rebuild, what_of
from rebuilder.core.messages.queued import (
    LetterCame,
    Queued,
    RebuildCame,
    ToBeTold,
    ToSend,
    ToSendTogether,
)
from rebuilder.core.messages.rules import MessageRule
from rebuilder.core.policies.matching import Moved, Subject
from rebuilder.core.rebuilds.messages import MESSAGES, tried_since
from rebuilder.errors import NotFound, Refused, TransientError
from rebuilder.settings.table import DESTINATIONS
from rebuilder.usecases.context import Context
from rebuilder.usecases.messages.together import collect, collected, forget

log = logging.getLogger(__name__)

_BEFORE = 5
"""How many rebuilds before one are looked at for the success before it."""

_LOOKS = 6
"""How often a record is looked for that was about to be made."""


def send_message(context: Context, message: Queued, body: str = "") -> None:
    """Work off one message.

    Args:
        context: The ports.
        message: The message.
        body: Its text, which counts how often it was put back.

    Raises:
        TransientError: It could not be sent, or what it tells is not recorded yet.
        NotFound: Nobody is known by that name.
        Refused: The receiver does not take it, or has not for as long as it is tried.
    """
    match message:
        case RebuildCame():
            _of_rebuild(context, message, body)
        case LetterCame(letter):
            found = context.dead_letters.letter(letter)
            if found is None:
                _not_yet(f"dead letter {letter}", body)
            else:
                _spread(context, of_letter(found))
        case ToBeTold(happening):
            _spread(context, happening)
        case ToSend():
            _send(context, message)
        case ToSendTogether(rule, to):
            _send_together(context, rule, to)


def _of_rebuild(context: Context, message: RebuildCame, body: str) -> None:
    task = message.task_id
    rebuild = context.ledger.rebuild(task, message.sequence)
    if rebuild is None or what_of(rebuild) is not message.what:
        _not_yet(f"task {task}: rebuild {message.sequence}, {message.what}", body)
        return
    before = context.ledger.rebuilds(task, _BEFORE, message.sequence)
    _spread(context, of_rebuild(rebuild, message.what, before, context.now()))


def _not_yet(what: str, body: str) -> None:
    """Wait for a record; drop the message if it never came, or is of another state by now."""
    tries, _ = tried_since(body)
    if tries < _LOOKS:
        raise TransientError(f"{what}: not recorded yet")
    log.info("%s: not told, for it is not so", what)


def _spread(context: Context, happening: Happening) -> None:
    """Put one message into the queue for each receiver."""
    found = context.in_force.now(context.steering, context.now())
    if found.policies is None:
        if found.unreadable:
            raise TransientError(f"whom to tell is not known: {found.unreadable}")
        return
    told: set[str] = set()
    for rule in found.policies.telling(_subject(happening)):
        if happening.what not in rule.what:
            continue
        for name in rule.to:
            if name not in told:
                told.add(name)
                _put(context, rule, name, happening)


def _subject(happening: Happening) -> Subject:
    moved = [base for base in happening.bases if base.digest != base.before]
    names = (name for base in moved or happening.bases for name in Moved(base.name).names)
    return Subject(happening.task, happening.registry, tuple(names), frozenset(), {})


def _put(context: Context, rule: MessageRule, name: str, happening: Happening) -> None:
    now = context.now()
    people = (d for d in context.settings.destinations if d.name == name)
    if rule.digest is not None and any(d.kind is Kind.PEOPLE for d in people):
        due = rule.loud(now + rule.digest)
        collect(context, rule.name, name, happening, due)
        return
    due = rule.loud(now)
    context.queue.send(MESSAGES, ToSend(happening, name, due).encode(), due - now)


def _send(context: Context, message: ToSend) -> None:
    to, happening = _destination(context, message.to), message.happening
    try:
        with context.lines.turn(to.name, context.now):
            if to.kind is Kind.PEOPLE:
                context.receivers.tell(to, texts.title(happening), texts.text(happening))
            else:
                context.receivers.send(to, events.body(happening))
    except TransientError as error:
        _give_up_in_time(context, message.due, to, error)
        raise
    log.info("told %s: %s of %s", to.name, happening.what, happening.subject)


def _send_together(context: Context, rule: str, name: str) -> None:
    waiting = collected(context, rule, name)
    if not waiting.lines:
        return  # it was sent before
    to = _destination(context, name)
    count = len(waiting.lines) + waiting.more
    text = texts.digest_text([line for _, line in waiting.lines], waiting.more)
    try:
        with context.lines.turn(to.name, context.now):
            context.receivers.tell(to, texts.digest_title(count), text)
    except TransientError as error:
        _give_up_in_time(context, waiting.due, to, error)
        raise
    forget(context, rule, name, waiting)
    log.info("told %s: %d together", to.name, count)


def _destination(context: Context, name: str) -> Destination:
    for destination in context.settings.destinations:
        if destination.name == name:
            return destination
    if unread := context.settings.without(DESTINATIONS):
        raise TransientError(unread)
    raise NotFound(f"{DESTINATIONS} has nobody of the name {name!r:.100}")


def _give_up_in_time(
    context: Context, due: datetime | None, to: Destination, error: TransientError
) -> None:
    """Raise Refused if it is long enough that a receiver has taken nothing."""
    if due is not None and context.now() - due >= context.settings.message_limit:
        since = f"{due:%F %T %Z}"
        raise Refused("NotTaken", f"{to.name} has not taken it since {since}: {error}") from error
