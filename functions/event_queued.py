"""Event Grid put an event into the queue: accept it, as `image_pushed` and `task_changed` do."""

from __future__ import annotations

import azure.functions as func

from functions._messages import text
from rebuilder.core.rebuilds.messages import EVENTS
from rebuilder.settings.table import STORAGE

blueprint = func.Blueprint()


@blueprint.queue_trigger(arg_name="message", queue_name=EVENTS, connection=STORAGE)
def event_queued(message: func.QueueMessage) -> None:
    """Accept one event of either schema and either kind."""
    from rebuilder.composition import compose
    from rebuilder.usecases.events.accept_any_event import accept_queued_event
    from rebuilder.usecases.recovery.delivery import deliver

    deliver(compose(), EVENTS, text(message), accept_queued_event)
