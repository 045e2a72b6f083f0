"""Collect what was given up: messages that their function could not work off, undelivered events.

Each is kept before it is deleted where it lies; a dead letter that is known is not kept twice, so
whatever dies in between, the next collection goes on.
"""

from __future__ import annotations

import logging

from rebuilder.core.dead_events import read_dead_events
from rebuilder.core.dead_letters import DeadLetter, Origin
from rebuilder.core.messages import BUILDS, PUSHES, REFRESH, RUNS
from rebuilder.errors import PermanentError, RebuilderError
from rebuilder.ports import PoisonMessage
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

QUEUES = (PUSHES, BUILDS, RUNS, REFRESH)
"""Every queue between the functions."""

NO_REASON = (
    "its function died or ran out of time at every delivery; no reason is recorded, see the"
    " function app's log"
)

# A round takes a queue's next 32 messages or so; what is left after them, the next collection
# takes, so that none of them runs out of time.
_ROUNDS = 50


def collect_dead_letters(context: Context) -> int:
    """Keep every message and event that was given up as a dead letter.

    Returns:
        How many there were; one that was known already counts, too.

    Raises:
        TransientError, Denied: One of the places could not be read; the others were.
    """
    count = 0
    problem: RebuilderError | None = None
    places = [*((_messages, queue) for queue in QUEUES), (_events, "events")]
    for collect, place in places:
        try:
            count += collect(context, place)
        except RebuilderError as error:
            log.error("dead letters of %s not collected: %s", place, error)  # noqa: TRY400 - the text says it
            problem = error
    if problem is not None:
        raise problem
    return count


def _messages(context: Context, queue: str) -> int:
    count = 0
    for _ in range(_ROUNDS):
        messages = context.queue.poisoned(queue)
        for message in messages:
            try:
                _keep(context, _letter(context, message))
            except PermanentError as error:
                # It stays where it lies, and the others are kept.
                log.error("a message of %s was not kept: %s", queue, error)  # noqa: TRY400 - the text says it
                continue
            context.queue.forget(message)
            count += 1
        if not messages:
            break
    return count


def _letter(context: Context, message: PoisonMessage) -> DeadLetter:
    reason = context.dead_letters.failure(message.queue, message.body)
    return DeadLetter(Origin.QUEUE, message.queue, message.body, reason or NO_REASON, message.at)


def _events(context: Context, place: str) -> int:
    del place
    count = 0
    for _ in range(_ROUNDS):
        blobs = context.dead_events.read()
        for blob in blobs:
            letters = read_dead_events(blob.name, blob.content, context.now())
            for letter in letters:
                _keep(context, letter)
            context.dead_events.forget(blob.name)
            count += len(letters)
        if not blobs:
            break
    return count


def _keep(context: Context, letter: DeadLetter) -> None:
    context.dead_letters.record(letter)
    log.error("dead letter %s of %s: %s", letter.id, letter.source, letter.reason)
