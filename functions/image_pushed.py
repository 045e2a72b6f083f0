"""Event Grid tells of a push: accept it and enqueue it, nothing slow."""

from __future__ import annotations

import azure.functions as func

from functions._events import raw
from rebuilder.composition import compose
from rebuilder.usecases.accept_event import accept_event

blueprint = func.Blueprint()


@blueprint.event_grid_trigger(arg_name="event")
def image_pushed(event: func.EventGridEvent) -> None:
    """Accept one event of either schema."""
    accept_event(compose(), raw(event))
