"""Deliver a queue message: what becomes of it when it cannot be worked off.

The host counts every failure alike and gives a message up after a few. Here a service that is out
of order does not use up a message: it is put back, and given up with its reason when that lasts.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from datetime import timedelta

from rebuilder.core.events.dead_letters import LONGEST_REASON, DeadLetter, Origin
from rebuilder.core.events.pushes import storable
from rebuilder.core.rebuilds.messages import afresh, put_back, trace_of, tried_since
from rebuilder.core.times import ahead
from rebuilder.errors import NewerStore, PermanentError, RebuilderError, Throttled, TransientError
from rebuilder.telemetry import metrics, signals
from rebuilder.usecases.context import Context
from rebuilder.usecases.messages.tell import tell_letter

log = logging.getLogger(__name__)

_THROTTLED = timedelta(seconds=30)
_LEAST = timedelta(seconds=1)
_FIRST = timedelta(seconds=5)
_LONGEST = timedelta(minutes=10)
_DOUBLINGS = 7  # 5 s doubled so often is over 10 minutes


def deliver(
    context: Context, queue: str, body: str, work: Callable[[Context, str], object]
) -> None:
    """Work a message off, put it back, or give it up; to return is to acknowledge it.

    Args:
        context: The ports.
        queue: Where the message came from.
        body: Its text.
        work: Decodes the body and calls the use case.

    Raises:
        Exception: Something unforeseen, or a message that could be neither put back nor given up;
            the host delivers it again. The reason is remembered as far as the store allows.
    """
    parent = trace_of(body) if signals.on() else ""
    try:
        with signals.processing(queue, parent):
            _deliver(context, queue, body, work)
    except Exception as error:
        reason = storable(f"{type(error).__name__}: {error}", LONGEST_REASON)
        try:
            context.dead_letters.record_failure(queue, body, reason, context.now())
        except RebuilderError as unrecorded:
            log.warning("queue %s: a failure was not recorded: %s", queue, unrecorded)
        raise


def _deliver(
    context: Context, queue: str, body: str, work: Callable[[Context, str], object]
) -> None:
    try:
        work(context, body)
    except NewerStore as error:
        # It is for the newer code: it must neither be used up nor be given up here.
        context.queue.send(queue, body, _LONGEST)
        log.error("queue %s: back in %s: %s", queue, _LONGEST, error)  # noqa: TRY400 - the text says it
    except Throttled as error:
        asked = _THROTTLED if error.retry_after is None else error.retry_after
        wait = max(asked, _LEAST)
        # Not all at once: each of a thousand messages waits up to as long again.
        wait += wait * (zlib.crc32(body.encode()) / 2**32)
        context.queue.send(queue, body, wait)
        log.warning("queue %s: back in %s: %s", queue, wait, error)
    except TransientError as error:
        _put_back(context, queue, body, error)
    except PermanentError as error:
        _give_up(context, queue, body, str(error))


def _put_back(context: Context, queue: str, body: str, error: TransientError) -> None:
    now = context.now()
    tries, since = tried_since(body)
    if since is not None and ahead(since, now):
        # Of a clock that was wrong: it would be put back for so much longer.
        body, tries, since = afresh(body), 0, None
    if since is not None and now - since >= context.settings.message_limit:
        _give_up(context, queue, body, f"put back {tries} times since {since:%F %T %Z}: {error}")
        return
    wait = min(_FIRST * 2 ** min(tries, _DOUBLINGS), _LONGEST)
    context.queue.send(queue, put_back(body, now), wait)
    log.warning("queue %s: back in %s, put back %d times before: %s", queue, wait, tries, error)


def _give_up(context: Context, queue: str, body: str, reason: str) -> None:
    told = storable(reason, LONGEST_REASON)
    letter = DeadLetter(Origin.QUEUE, queue, afresh(body), told, context.now())
    tell_letter(context, letter)
    context.dead_letters.record(letter)
    signals.tell(metrics.DEAD_LETTERS)
    log.error("queue %s: dead letter %s: %s", queue, letter.id, reason)
