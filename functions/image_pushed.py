"""Event Grid tells of a push: accept it and enqueue it, nothing slow."""

from __future__ import annotations

import azure.functions as func

from rebuilder.composition import compose
from rebuilder.usecases.accept_event import accept_event

blueprint = func.Blueprint()


# The worker hands over whichever of the two types the payload is, whatever the annotation says.
@blueprint.event_grid_trigger(arg_name="event")
def image_pushed(event: func.EventGridEvent) -> None:
    """Accept one event of either schema."""
    accept_event(compose(), _raw(event))


def _raw(event: func.EventGridEvent | func.CloudEvent) -> dict[str, object]:
    if isinstance(event, func.CloudEvent):
        return {
            "specversion": event.specversion,
            "id": event.id,
            "source": event.source,
            "subject": event.subject,
            "type": event.type,
            "data": event.get_json(),
        }
    return {
        "id": event.id,
        "topic": event.topic,
        "subject": event.subject,
        "eventType": event.event_type,
        "data": event.get_json(),
    }
