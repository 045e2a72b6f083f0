"""Event Grid's subscriptions, as `az eventgrid event-subscription` makes them on a registry.

Source of the shapes: Microsoft.EventGrid eventSubscriptions, the REST reference.
"""

from __future__ import annotations

import uuid
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.kept import GROUP, SUBSCRIPTION, group_of
from localcloud.arm.model import Arm, Handler, Route
from localcloud.arm.operations import begun
from localcloud.arm.resources.registries import REGISTRY
from localcloud.arm.schema import Kind
from localcloud.arm.schemas import events as schemas
from localcloud.arm.switches import Method
from localcloud.eventfilters import FilterError, parse_filters
from localcloud.eventgrid import (
    DeadLetterContainer,
    QueuePlace,
    Schema,
    SubscribeError,
    Subscription,
    SystemTopic,
    Topic,
)
from localcloud.state import Json, told

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


def brief(subscription: Subscription, place: str, kind: str, topic: str, given: Json) -> Json:
    """Return a subscription in ARM's form.

    Args:
        subscription: The subscription.
        place: The resource id that ARM knows it by.
        kind: Its resource type.
        topic: The resource id of its topic.
        given: What it was made of.
    """
    # The address of a webhook holds its key: only its base is ever shown.
    destination: Json = {
        "endpointType": "WebHook",
        "properties": {
            "endpointBaseUrl": subscription.endpoint.partition("?")[0],
            "maxEventsPerBatch": subscription.max_events_per_batch,
        },
    }
    if subscription.function:
        destination = {
            "endpointType": "AzureFunction",
            "properties": {
                "resourceId": subscription.function,
                "maxEventsPerBatch": subscription.max_events_per_batch,
                "preferredBatchSizeInKilobytes": 64,
            },
        }
    if subscription.queue is not None:
        destination = {
            "endpointType": "StorageQueue",
            "properties": {
                "resourceId": subscription.queue.account_id,
                "queueName": subscription.queue.queue,
                "queueMessageTimeToLiveInSeconds": subscription.queue.seconds,
            },
        }
    types = list(subscription.event_types)
    properties: Json = {
        "topic": topic,
        "provisioningState": "Succeeded",
        "destination": destination,
        "filter": {
            "subjectBeginsWith": subscription.subject_begins_with,
            "subjectEndsWith": subscription.subject_ends_with,
            "isSubjectCaseSensitive": subscription.minds_case,
            **told(given.get("filter") or {}),
            **({"includedEventTypes": types} if types else {}),
        },
        "eventDeliverySchema": subscription.schema,
        "retryPolicy": {
            "maxDeliveryAttempts": subscription.max_attempts,
            "eventTimeToLiveInMinutes": int(subscription.time_to_live.total_seconds() // 60),
        },
    }
    for name in ("deadLetterWithResourceIdentity", "labels", "expirationTimeUtc"):
        if given.get(name):
            properties[name] = given[name]
    return {"id": place, "name": subscription.name, "type": kind, "properties": properties}


def _wire(arm: Arm, topic: Topic, subscription: Subscription) -> Json:
    kind = "Microsoft.EventGrid/eventSubscriptions"
    place = f"{topic.id}/providers/{kind}/{subscription.name}"
    return brief(subscription, place, kind, topic.id, arm.subscribed.get(place.lower()) or {})


def _function(arm: Arm, resource_id: str) -> str:
    """Return a function's resource id if Event Grid can deliver to it.

    Raises:
        ArmError: It is not there, or has another trigger (Azure/bicep issue 11656).
    """
    site, _, name = resource_id.partition("/functions/")
    bindings = arm.apps.functions(site).get(name)
    if bindings is None:
        now = arm.clock.now()
        raise ArmError(
            400,
            "Endpoint validation",
            f"Destination endpoint not found. Resource details: resourceId: {resource_id}. Resource"
            f" should pre-exist before attempting this operation. Activity id:{uuid.uuid4()},"
            f" timestamp: {now.month}/{now.day}/{now.year} {int(f'{now:%I}')}:{now:%M:%S %p}"
            " (UTC).",
        )
    if not any(str(b["type"]).lower() == "eventgridtrigger" for b in bindings):
        raise ArmError(
            400,
            "Unsupported Azure Function Trigger",
            "Can't add resource; Azure Event Grid supports EventGrid Trigger type only.",
        )
    return resource_id


def _schema(properties: Json) -> Schema:
    """Return how events are to be written.

    Raises:
        ArmError: In a schema of the client's own.
    """
    given = str(properties.get("eventDeliverySchema") or "EventGridSchema").lower()
    known: dict[str, Schema] = {
        "eventgridschema": "EventGridSchema",
        "cloudeventschemav1_0": "CloudEventSchemaV1_0",
    }
    if given not in known:
        raise ArmError(400, "InvalidRequest", "The local cloud knows no input schema of topics.")
    return known[given]


def subscribe(
    arm: Arm,
    topic: Topic,
    name: str,
    properties: Json,
    dead_letters: DeadLetterContainer | None = None,
    queue: QueuePlace | None = None,
) -> Subscription:
    """Subscribe as the properties of a request say.

    Args:
        arm: For the functions and Event Grid.
        topic: To what.
        name: The subscription's name.
        properties: In ARM's wire form.
        dead_letters: Where events go that are given up.
        queue: The queue that they go into, written by an identity; then there is no destination.

    Raises:
        ArmError: The destination is not there or does not answer, or a filter is wrong.
    """
    destination = properties.get("destination") or {}
    details: Json = destination.get("properties") or {}
    kind, endpoint, function = destination.get("endpointType"), "", ""
    if queue is not None:
        pass
    elif kind == "AzureFunction":
        function = _function(arm, str(details.get("resourceId") or ""))
    elif kind == "WebHook" and details.get("endpointUrl"):
        endpoint = str(details["endpointUrl"])
    else:
        raise ArmError(
            400,
            "InvalidRequest",
            "The local cloud delivers to webhooks, functions and, by an identity, queues: give an"
            " endpointUrl, the resourceId of a function, or deliveryWithResourceIdentity.",
        )
    chosen, retry = properties.get("filter") or {}, properties.get("retryPolicy") or {}
    try:
        advanced = parse_filters(
            chosen.get("advancedFilters") or (),
            in_arrays=bool(chosen.get("enableAdvancedFilteringOnArrays")),
        )
        return arm.eventgrid.subscribe(
            topic,
            name,
            endpoint,
            schema=_schema(properties),
            event_types=chosen.get("includedEventTypes"),
            dead_letters=dead_letters,
            max_events_per_batch=details.get("maxEventsPerBatch") or 1,
            max_attempts=retry.get("maxDeliveryAttempts") or 30,
            time_to_live=timedelta(minutes=retry.get("eventTimeToLiveInMinutes") or 1440),
            subject_begins_with=chosen.get("subjectBeginsWith") or "",
            subject_ends_with=chosen.get("subjectEndsWith") or "",
            advanced=advanced,
            function=function,
            queue=queue,
            minds_case=bool(chosen.get("isSubjectCaseSensitive")),
        )
    except FilterError as error:
        raise ArmError(400, "InvalidRequest", str(error)) from error
    except SubscribeError as error:
        raise ArmError(
            400,
            "Url validation",
            "Webhook validation handshake failed for"
            f" {endpoint.partition('?')[0]}. Http POST request retuned with error: {error}.",
        ) from error


def _put(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    topic = _topic(arm, params)
    properties = body.get("properties") or {}
    if properties.get("deadLetterDestination") or properties.get("deadLetterWithResourceIdentity"):
        raise ArmError(
            400,
            "InvalidRequest",
            "The local cloud writes dead letters for system topics' subscriptions alone, by the"
            " topic's identity.",
        )
    subscription = subscribe(arm, topic, params["e"], properties)
    arm.subscribed[_place(topic, subscription.name)] = properties
    return creating(arm, request, _wire(arm, topic, subscription))


def creating(arm: Arm, request: Request, wire: Json) -> Response:
    """Answer that a subscription is about to be there."""
    made = {**wire, "properties": {**wire["properties"], "provisioningState": "Creating"}}
    return JSONResponse(made, 201, begun(arm, request, "Microsoft.EventGrid", "global"))


def _patch(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    """Change a subscription; a body here has no `properties` around what it changes."""
    known = arm.subscribed.get(_place(_topic(arm, params), params["e"]))
    if known is None:
        raise not_found(f"Microsoft.EventGrid/eventSubscriptions/{params['e']}")
    return _put(arm, request, params, {"properties": {**known, **told(body)}})


def _place(topic: Topic, name: str) -> str:
    return f"{topic.id}/providers/Microsoft.EventGrid/eventSubscriptions/{name}".lower()


def _get(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    topic = _topic(arm, params)
    for subscription in arm.eventgrid.subscriptions(topic):
        if subscription.name.lower() == params["e"].lower():
            return JSONResponse(_wire(arm, topic, subscription))
    raise not_found(f"Microsoft.EventGrid/eventSubscriptions/{params['e']}")


def _list(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    topic = _topic(arm, params)
    found = [_wire(arm, topic, entry) for entry in arm.eventgrid.subscriptions(topic)]
    return paging.listed(arm, request, found)


def _delete(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    topic = _topic(arm, params)
    gone = arm.eventgrid.unsubscribe(topic, params["e"])
    arm.subscribed.pop(_place(topic, params["e"]), None)
    return Response(status_code=200 if gone else 204)


_HANDLERS: tuple[tuple[Method, str, Handler, Kind | None], ...] = (
    ("GET", _EVENTS, _list, None),
    ("GET", rf"{_EVENTS}/(?P<e>[^/]+)", _get, None),
    ("PUT", rf"{_EVENTS}/(?P<e>[^/]+)", _put, schemas.SUBSCRIPTION),
    ("PATCH", rf"{_EVENTS}/(?P<e>[^/]+)", _patch, schemas.CHANGES),
    ("DELETE", rf"{_EVENTS}/(?P<e>[^/]+)", _delete, None),
)

ROUTES: tuple[Route, ...] = tuple(
    Route(method, f"{scope}{path}", versions.EVENTS, handler, body)
    for scope in _SCOPES
    for method, path, handler, body in _HANDLERS
)
