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
from localcloud.arm.resources import ANY
from localcloud.eventgrid import SubscribeError, Subscription
from localcloud.state import Json, Registry

if TYPE_CHECKING:
    from localcloud.arm.app import Arm, Handler

_ALL = rf"{REGISTRY}/providers/Microsoft\.EventGrid/eventSubscriptions"
_ONE = rf"{_ALL}/(?P<e>[^/]+)"


def _wire(registry: Registry, subscription: Subscription) -> Json:
    # The address of a webhook holds its key: only its base is ever shown.
    base = subscription.endpoint.partition("?")[0]
    return {
        "id": f"{registry.id}/providers/Microsoft.EventGrid/eventSubscriptions/{subscription.name}",
        "name": subscription.name,
        "type": "Microsoft.EventGrid/eventSubscriptions",
        "properties": {
            "topic": registry.id,
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
    registry = arm.registry(params)
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
            registry,
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
    return JSONResponse(_wire(registry, subscription), 201)


def _get(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    registry = arm.registry(params)
    for subscription in arm.eventgrid.subscriptions(registry):
        if subscription.name.lower() == params["e"].lower():
            return JSONResponse(_wire(registry, subscription))
    raise not_found(f"Microsoft.EventGrid/eventSubscriptions/{params['e']}")


def _list(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    registry = arm.registry(params)
    found = [_wire(registry, entry) for entry in arm.eventgrid.subscriptions(registry)]
    return JSONResponse({"value": found})


def _delete(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    gone = arm.eventgrid.unsubscribe(arm.registry(params), params["e"])
    return Response(status_code=200 if gone else 204)


ROUTES: tuple[tuple[str, str, frozenset[str], Handler], ...] = (
    ("GET", _ALL, ANY, _list),
    ("GET", _ONE, ANY, _get),
    ("PUT", _ONE, ANY, _put),
    ("DELETE", _ONE, ANY, _delete),
)
