"""Event Grid tells of a changed resource: have it read again if it is a task of ours."""

from __future__ import annotations

import azure.functions as func

from functions._events import raw
from rebuilder.composition import compose
from rebuilder.usecases.accept_task_event import accept_task_event

blueprint = func.Blueprint()


@blueprint.event_grid_trigger(arg_name="event")
def task_changed(event: func.EventGridEvent) -> None:
    """Accept one event of either schema."""
    accept_task_event(compose(), raw(event))
