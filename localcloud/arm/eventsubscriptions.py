"""Event Grid's subscriptions, as `az eventgrid event-subscription` makes them on a registry.

Source of the shapes: Microsoft.EventGrid eventSubscriptions, the REST reference.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.registries import REGISTRY
from localcloud.arm.resources import ANY, GROUP, SUBSCRIPTION, group_of
from localcloud.eventgrid import SubscribeError, Subscription, SystemTopic, Topic
from localcloud.state import Json

if TYPE_CHECKING:
    from localcloud.arm.app import Arm, Handler

_EVENTS = r"/providers/Microsoft\.EventGrid/eventSubscriptions"
_SCOPES = (REGISTRY, GROUP, SUBSCRIPTION)


def _topic(arm: Arm, params: dict[str, str]) -> Topic:
    """Return what a path's subscriptions are subscribed to.

    Raises:
        ArmError: It is not there.
    """
    if "r" in params:
        return arm.registry(params)
    if "g" in params:
        return SystemTopic(group_of(arm, params).id)
    return SystemTopic(f"/subscriptions/{params['s']}")


def _wire(topic: Topic, subscription: Subscription) -> Json:
    # The address of a webhook holds its key: only its base is ever shown.
    base = subscription.endpoint.partition("?")[0]
    return {
        "id": f"{topic.id}/providers/Microsoft.EventGrid/eventSubscriptions/{subscription.name}",
        "name": subscription.name,
        "type": "Microsoft.EventGrid/eventSubscriptions",
        "properties": {
            "topic": topic.id,
            "provisioningState": "Succeeded",
            "destination": {
                "endpointType": "WebHook",
                "properties": {
                    "endpointBaseUrl": base,
                    "maxEventsPerBatch": subscription.max_events_per_batch,
                },
            },
            "filter": {
                "includedEventTypes": list(subscription.event_types) or None,
                "subjectBeginsWith": subscription.subject_begins_with,
                "subjectEndsWith": subscription.subject_ends_with,
            },
            "eventDeliverySchema": subscription.schema,
            "retryPolicy": {
                "maxDeliveryAttempts": subscription.max_attempts,
                "eventTimeToLiveInMinutes": int(subscription.time_to_live.total_seconds() // 60),
            },
        },
    }


def _put(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    topic = _topic(arm, params)
    properties = body.get("properties") or {}
    destination = properties.get("destination") or {}
    endpoint = (destination.get("properties") or {}).get("endpointUrl")
    if destination.get("endpointType") != "WebHook" or not endpoint:
        raise ArmError(
            400, "InvalidRequest", "The local cloud delivers to webhooks: give an endpointUrl."
        )
    if properties.get("deadLetterDestination"):
        raise ArmError(
            400, "InvalidRequest", "The local cloud has no storage account for dead letters."
        )
    chosen, retry = properties.get("filter") or {}, properties.get("retryPolicy") or {}
    try:
        subscription = arm.eventgrid.subscribe(
            topic,
            params["e"],
            endpoint,
            schema=properties.get("eventDeliverySchema") or "EventGridSchema",
            event_types=chosen.get("includedEventTypes"),
            max_events_per_batch=destination["properties"].get("maxEventsPerBatch") or 1,
            max_attempts=retry.get("maxDeliveryAttempts") or 30,
            time_to_live=timedelta(minutes=retry.get("eventTimeToLiveInMinutes") or 1440),
            subject_begins_with=chosen.get("subjectBeginsWith") or "",
            subject_ends_with=chosen.get("subjectEndsWith") or "",
        )
    except SubscribeError as error:
        raise ArmError(
            400,
            "Url validation",
            "Webhook validation handshake failed for"
            f" {endpoint.partition('?')[0]}. Http POST request retuned with error: {error}.",
        ) from error
    return JSONResponse(_wire(topic, subscription), 201)


def _get(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    topic = _topic(arm, params)
    for subscription in arm.eventgrid.subscriptions(topic):
        if subscription.name.lower() == params["e"].lower():
            return JSONResponse(_wire(topic, subscription))
    raise not_found(f"Microsoft.EventGrid/eventSubscriptions/{params['e']}")


def _list(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    topic = _topic(arm, params)
    found = [_wire(topic, entry) for entry in arm.eventgrid.subscriptions(topic)]
    return JSONResponse({"value": found})


def _delete(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    gone = arm.eventgrid.unsubscribe(_topic(arm, params), params["e"])
    return Response(status_code=200 if gone else 204)


ROUTES: tuple[tuple[str, str, frozenset[str], Handler], ...] = tuple(
    (method, f"{scope}{path}", ANY, handler)
    for scope in _SCOPES
    for method, path, handler in (
        ("GET", _EVENTS, _list),
        ("GET", rf"{_EVENTS}/(?P<e>[^/]+)", _get),
        ("PUT", rf"{_EVENTS}/(?P<e>[^/]+)", _put),
        ("DELETE", rf"{_EVENTS}/(?P<e>[^/]+)", _delete),
    )
)
