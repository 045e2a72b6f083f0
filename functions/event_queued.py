"""Event Grid put an event into the queue: accept it, as `image_pushed` and `task_changed` do."""

from __future__ import annotations

import azure.functions as func

from functions._messages import text
from functions._work import deliver_at_once
from rebuilder.core.rebuilds.messages import EVENTS
from rebuilder.settings.table import STORAGE

blueprint = func.Blueprint()


@blueprint.queue_trigger(arg_name="message", queue_name=EVENTS, connection=STORAGE)
def event_queued(message: func.QueueMessage) -> None:
    """Accept one event of either schema and either kind."""
    from rebuilder.usecases.events.accept import accept_queued_event

    deliver_at_once(EVENTS, text(message), accept_queued_event)
