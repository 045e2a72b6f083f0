"""Accept an event of either kind: a push, or a change of a resource."""

from __future__ import annotations

from rebuilder.core.events.pushes import Ignored, Push
from rebuilder.core.events.task_events import TaskChanged
from rebuilder.core.rebuilds.messages import queued_event
from rebuilder.usecases.context import Context
from rebuilder.usecases.events.accept_event import accept_event
from rebuilder.usecases.events.accept_task_event import accept_task_event

_RESOURCES = "microsoft.resources."


def accept_any_event(context: Context, raw: object) -> Push | TaskChanged | Ignored:
    """Take over the responsibility for an event; see `accept_event` and `accept_task_event`.

    Args:
        context: Where to record and enqueue.
        raw: The event as JSON gives it.

    Raises:
        TransientError: The event was not taken over; it must be delivered again.
    """
    return accept_task_event(context, raw) if _of_resource(raw) else accept_event(context, raw)


def accept_queued_event(context: Context, body: str) -> Push | TaskChanged | Ignored:
    """Take over an event that Event Grid put into the queue of events.

    Raises:
        InvalidMessage: It is no event at all.
        TransientError: It was not taken over; it must be delivered again.
    """
    return accept_any_event(context, queued_event(body))


def _of_resource(raw: object) -> bool:
    names = ("type", "eventType")
    return isinstance(raw, dict) and any(
        str(raw.get(name) or "").lower().startswith(_RESOURCES) for name in names
    )
