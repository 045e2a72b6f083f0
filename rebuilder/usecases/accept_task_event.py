"""Accept an event of a resource: a changed task is read again, everything else is recorded."""

from __future__ import annotations

import logging

from rebuilder.core.events import Ignored
from rebuilder.core.messages import REFRESH, Refresh
from rebuilder.core.task_events import TaskChanged, read_task_event
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)


def accept_task_event(context: Context, raw: object) -> TaskChanged | Ignored:
    """Take over the responsibility for an event: when this returns, it cannot be lost.

    Args:
        context: Where to record and enqueue.
        raw: The event as JSON gives it.

    Raises:
        TransientError: The event was not taken over; it must be delivered again.
    """
    event = read_task_event(raw, context.settings.task_registries)
    if isinstance(event, Ignored):
        context.ledger.record_ignored(event, context.now())
        log.info("event %s ignored (%s): %s", event.event, event.code, event.sentence())
        return event
    # Written or deleted: ARM tells which, when it is asked. A new task has yet to run before ACR
    # records anything, and that is no event.
    context.queue.send(REFRESH, Refresh.of(event.task, context.now(), looks=0).encode())
    log.info("event %s accepted: task %s changed", event.event, event.task)
    return event
