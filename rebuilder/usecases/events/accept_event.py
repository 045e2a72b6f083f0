"""Accept events: a push goes into the queue, everything else is recorded with its reason."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rebuilder.core.events.pushes import Ignored, Push, read_event
from rebuilder.core.rebuilds.messages import PUSHES, TRACE, PlanRebuilds, in_trace
from rebuilder.telemetry import signals
from rebuilder.telemetry.dimensions import PUSH, lines_about
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
    (event,) = accept_events(context, [raw])
    return event


def send_all(context: Context, queue: str, bodies: Sequence[str]) -> None:
    """Put as many messages into a queue as there are, often none or one."""
    if len(bodies) == 1:
        context.queue.send(queue, bodies[0])
    elif bodies:
        context.queue.send_many(queue, bodies)


def _plan(push: Push, raw: object) -> str:
    """Return the message that has a push planned, in the trace that its event belongs to."""
    body = PlanRebuilds(push).encode()
    if not signals.on():
        return body
    # The distributed tracing extension of CloudEvents.
    told = raw.get(TRACE) if isinstance(raw, dict) else None
    with signals.span("accept event", told if isinstance(told, str) else "", {PUSH: push.key}):
        return in_trace(body, signals.traceparent(PUSHES))


def accept_events(context: Context, raws: Sequence[object]) -> list[Push | Ignored]:
    """Take over the responsibility for events that came together, as `accept_event` does.

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
    send_all(context, PUSHES, list(plans.values()))
    for event in events:
        if isinstance(event, Push):
            with lines_about({PUSH: event.key}):
                log.info("event %s accepted: push %s", event.event, event.key)
        else:
            log.info(
                "event %s from %s ignored (%s): %s",
                event.event,
                event.source,
                event.code,
                event.sentence(),
            )
    return events
