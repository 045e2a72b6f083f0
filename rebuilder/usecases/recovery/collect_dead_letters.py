"""Collect what was given up: messages that their function could not work off, undelivered events.

Each is kept before it is deleted where it lies; a dead letter that is known is not kept twice, so
whatever dies in between, the next collection goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from rebuilder.core.events.dead_events import read_dead_events
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.rebuilds.judged import problem
from rebuilder.core.rebuilds.messages import QUEUES, afresh
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempt
from rebuilder.ports.dead_letters import DeadEvents
from rebuilder.ports.queue import PoisonMessage
from rebuilder.telemetry import metrics, signals
from rebuilder.usecases.context import Context
from rebuilder.usecases.messages.tell import tell_letter

log = logging.getLogger(__name__)

NO_REASON = (
    "its function died or ran out of time at every delivery; no reason is recorded, see the"
    " function app's log"
)

NOT_ENCODED = (
    "it was put into the queue as it is, and not in Base64: no function was given it; its replay"
    " writes it in Base64"
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
    kept = _Kept(context)
    for queue in QUEUES:
        kept.attempt(f"queue {queue}", partial(_messages, kept, queue))
    kept.attempt("events", partial(_events, kept))
    if kept.problem is not None:
        raise kept.problem
    return kept.count


class _Kept(Struct):
    """What was kept so far.

    Attributes:
        context: The ports.
        count: How many dead letters.
        problem: The last error; each was logged.
    """

    context: Context
    count: int = 0
    problem: RebuilderError | None = None

    def attempt(self, what: str, work: Callable[[], object]) -> bool:
        """Do something that keeps nothing else from being done if it fails; tell whether it did."""
        found = attempt(lambda _: work(), what)
        if isinstance(found, RebuilderError):
            log.error("dead letters: %s: not collected: %s", what, found)
            self.problem = found
            return False
        return True

    def keep(self, letter: DeadLetter) -> None:
        """Keep a dead letter."""
        tell_letter(self.context, letter)
        self.context.dead_letters.record(letter)
        signals.tell(metrics.DEAD_LETTERS)
        self.count += 1
        log.error("dead letter %s of %s: %s", letter.id, letter.source, letter.reason)


def _messages(kept: _Kept, queue: str) -> None:
    for _ in range(_ROUNDS):
        messages = kept.context.queue.poisoned(queue)
        for message in messages:
            kept.attempt(f"a message of {queue}", partial(_message, kept, message))
        if not messages:
            break


def _message(kept: _Kept, message: PoisonMessage) -> None:
    kept.keep(_letter(kept.context, message))
    # One that could not be kept stays where it lies, and comes again.
    kept.context.queue.forget(message)


def _letter(context: Context, message: PoisonMessage) -> DeadLetter:
    queue, body = message.queue, message.body
    # The reason was recorded for the message as it was delivered.
    reason = context.dead_letters.failure(queue, body) if message.encoded else NOT_ENCODED
    reason = reason or problem(queue, body) or NO_REASON
    return DeadLetter(Origin.QUEUE, queue, afresh(body), reason, message.at)


def _events(kept: _Kept) -> None:
    for _ in range(_ROUNDS):
        blobs = kept.context.dead_events.read()
        kept_all = [kept.attempt(f"blob {b.name}", partial(_blob, kept, b)) for b in blobs]
        if not blobs or not all(kept_all):
            # One that could not be kept would be read again and again.
            break


def _blob(kept: _Kept, blob: DeadEvents) -> None:
    for letter in read_dead_events(blob.name, blob.content, kept.context.now()):
        kept.keep(letter)
    kept.context.dead_events.forget(blob.name)
