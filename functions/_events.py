"""Events as Event Grid wrote them, from what the worker hands over."""

from __future__ import annotations

import azure.functions as func


def raw(event: func.EventGridEvent | func.CloudEvent) -> dict[str, object]:
    """Return the fields of an event that the product reads.

    The worker hands over whichever of the two types the payload is, whatever the annotation says.
    """
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
