"""Accept an event: a push goes into the queue, everything else is recorded with its reason."""

from __future__ import annotations

import logging

from rebuilder.core.events import Ignored, Push, read_event
from rebuilder.core.messages import PUSHES, PlanRebuilds
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)


def accept_event(context: Context, raw: object) -> Push | Ignored:
    """Take over the responsibility for an event: when this returns, it cannot be lost.

    Args:
        context: Where to record and enqueue.
        raw: The event as JSON gives it.

    Raises:
        TransientError: The event was not taken over; it must be delivered again.
    """
    event = read_event(raw, context.settings.base_registries)
    if isinstance(event, Ignored):
        context.ledger.record_ignored(event, context.now())
        log.info(
            "event %s from %s ignored (%s): %s",
            event.event,
            event.source,
            event.code,
            event.sentence(),
        )
        return event
    context.ledger.record_push(event, context.now())
    context.queue.send(PUSHES, PlanRebuilds(event).encode())
    log.info("event %s accepted: push %s", event.event, event.key)
    return event
