"""Accept events: a push is planned, a changed task is read again, all others are recorded.

When one of these functions returns, what it was given cannot be lost.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rebuilder.core.events.pushes import Ignored, Push, read_event
from rebuilder.core.events.task_events import TaskChanged, read_task_event
from rebuilder.core.rebuilds.messages import (
    PUSHES,
    REFRESH,
    TRACE,
    PlanRebuilds,
    Refresh,
    in_trace,
    queued_event,
)
from rebuilder.telemetry import signals
from rebuilder.telemetry.dimensions import PUSH, lines_about
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.task_news import note_events

log = logging.getLogger(__name__)

_RESOURCES = "microsoft.resources."


def accept_events(context: Context, raws: Sequence[object]) -> list[Push | Ignored]:
    """Take over the responsibility for events of registries that came together.

    Args:
        context: Where to record and enqueue.
        raws: The events as JSON gives them.

    Raises:
        TransientError: Not all of them were taken over; all must be delivered again.
    """
    events = [read_event(raw, context.settings.base_registries) for raw in raws]
    # Written down before anything is kept: what is recorded can be sent.
    plans = {
        event.key: _plan(event, raw)
        for event, raw in zip(events, raws, strict=True)
        if isinstance(event, Push)
    }
    context.ledger.record_events(events, context.now())
    _send(context, PUSHES, list(plans.values()))
    for event in events:
        if isinstance(event, Push):
            with lines_about({PUSH: event.key}):
                log.info("event %s accepted: push %s", event.event, event.key)
        else:
            _log_ignored(event)
    return events


def accept_task_events(context: Context, raws: Sequence[object]) -> list[TaskChanged | Ignored]:
    """Take over the responsibility for events of resources that came together.

    Args:
        context: Where to record and enqueue.
        raws: The events as JSON gives them.

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
    _send(context, REFRESH, [Refresh.of(task, now, looks=0).encode() for task in changed])
    # That a task was deleted does not tell whether events tell of those that are written.
    written = (e for e in events if isinstance(e, TaskChanged) and e.written)
    note_events(context, {event.task.registry for event in written})
    for event in events:
        if isinstance(event, TaskChanged):
            log.info("event %s accepted: task %s changed", event.event, event.task)
        else:
            _log_ignored(event)
    return events


def accept_event(context: Context, raw: object) -> Push | TaskChanged | Ignored:
    """Take over the responsibility for one event of either kind.

    Args:
        context: Where to record and enqueue.
        raw: The event as JSON gives it.

    Raises:
        TransientError: It was not taken over; it must be delivered again.
    """
    if _of_resource(raw):
        return accept_task_events(context, [raw])[0]
    return accept_events(context, [raw])[0]


def accept_queued_event(context: Context, body: str) -> Push | TaskChanged | Ignored:
    """Take over the responsibility for an event that Event Grid put into the queue of events.

    Raises:
        InvalidMessage: It is no event at all.
        TransientError: It was not taken over; it must be delivered again.
    """
    return accept_event(context, queued_event(body))


def _plan(push: Push, raw: object) -> str:
    """Return the message that has a push planned, in the trace that its event belongs to."""
    body = PlanRebuilds(push).encode()
    if not signals.on():
        return body
    # The distributed tracing extension of CloudEvents.
    told = raw.get(TRACE) if isinstance(raw, dict) else None
    with signals.span("accept event", told if isinstance(told, str) else "", {PUSH: push.key}):
        return in_trace(body, signals.traceparent(PUSHES))


def _send(context: Context, queue: str, bodies: Sequence[str]) -> None:
    """Put as many messages into a queue as there are, often none or one."""
    if len(bodies) == 1:
        context.queue.send(queue, bodies[0])
    elif bodies:
        context.queue.send_many(queue, bodies)


def _of_resource(raw: object) -> bool:
    names = ("type", "eventType")
    return isinstance(raw, dict) and any(
        str(raw.get(name) or "").lower().startswith(_RESOURCES) for name in names
    )


def _log_ignored(event: Ignored) -> None:
    log.info(
        "event %s from %s ignored (%s): %s",
        event.event,
        event.source,
        event.code,
        event.sentence(),
    )
