"""Accept events of resources: a changed task is read again, everything else is recorded."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rebuilder.core.events.pushes import Ignored
from rebuilder.core.events.task_events import TaskChanged, read_task_event
from rebuilder.core.rebuilds.messages import REFRESH, Refresh
from rebuilder.usecases.context import Context
from rebuilder.usecases.events.accept_event import send_all

log = logging.getLogger(__name__)


def accept_task_event(context: Context, raw: object) -> TaskChanged | Ignored:
    """Take over the responsibility for an event: when this returns, it cannot be lost.

    Args:
        context: Where to record and enqueue.
        raw: The event as JSON gives it.

    Raises:
        TransientError: The event was not taken over; it must be delivered again.
    """
    (event,) = accept_task_events(context, [raw])
    return event


def accept_task_events(context: Context, raws: Sequence[object]) -> list[TaskChanged | Ignored]:
    """Take over the responsibility for events that came together, as `accept_task_event` does.

    Raises:
        TransientError: Not all of them were taken over; all must be delivered again.
    """
    now = context.now()
    events = [read_task_event(raw, context.settings.task_registries) for raw in raws]
    ignored = [event for event in events if isinstance(event, Ignored)]
    if ignored:
        context.ledger.record_events(ignored, now)
    # Written or deleted: ARM tells which, when it is asked. A new task has yet to run before ACR
    # records anything, and that is no event.
    changed = dict.fromkeys(event.task for event in events if isinstance(event, TaskChanged))
    send_all(context, REFRESH, [Refresh.of(task, now, looks=0).encode() for task in changed])
    for event in events:
        if isinstance(event, TaskChanged):
            log.info("event %s accepted: task %s changed", event.event, event.task)
        else:
            log.info("event %s ignored (%s): %s", event.event, event.code, event.sentence())
    return events
