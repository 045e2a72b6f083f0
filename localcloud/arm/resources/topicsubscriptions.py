"""The event subscriptions of a system topic."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.kept import ANY, wire
from localcloud.arm.model import Arm, Route
from localcloud.arm.resources.eventsubscriptions import brief, subscribe
from localcloud.arm.resources.systemtopics import TOPIC, TOPIC_TYPE, source_of, topic_of
from localcloud.eventgrid import DeadLetterContainer, QueuePlace, Subscription
from localcloud.state import Json, Resource

_EVENTS = rf"{TOPIC}/eventSubscriptions"


def _dead_letters(topic: Resource, properties: Json) -> DeadLetterContainer | None:
    """Return where a subscription's dead letters go; none if it says nothing of them.

    Raises:
        ArmError: It names no container, or an identity that the topic has not.
    """
    if properties.get("deadLetterDestination"):
        raise ArmError(
            400, "InvalidRequest", "Give deadLetterWithResourceIdentity: keys are not imitated."
        )
    given = properties.get("deadLetterWithResourceIdentity")
    if not given:
        return None
    details = (given.get("deadLetterDestination") or {}).get("properties") or {}
    account, container = details.get("resourceId"), details.get("blobContainerName")
    if not account or not container:
        raise ArmError(
            400, "InvalidRequest", "A dead letter destination needs resourceId, blobContainerName."
        )
    return DeadLetterContainer(account, container, topic.name, _writer(topic, given))


def _writer(topic: Resource, given: Json) -> str:
    """Return who delivers: the object id of the identity that a destination names.

    Raises:
        ArmError: The topic has not that identity.
    """
    asked: Json = given.get("identity") or {}
    own: Json = topic.more.get("identity") or {}
    principal = own.get("principalId")
    if str(asked.get("type")).lower() == "userassigned":
        wanted = str(asked.get("userAssignedIdentity")).lower()
        others: Json = own.get("userAssignedIdentities") or {}
        principal = next((o["principalId"] for k, o in others.items() if k.lower() == wanted), None)
    if principal is None:
        raise ArmError(400, "InvalidRequest", "The system topic does not have that identity.")
    return str(principal)


def _queue(arm: Arm, topic: Resource, properties: Json) -> QueuePlace | None:
    """Return the queue that events go into by the topic's identity; none for another destination.

    Raises:
        ArmError: It names no queue of an account that is there, or an identity that the topic has
            not.
    """
    given = properties.get("deliveryWithResourceIdentity")
    if not given:
        return None
    destination: Json = given.get("destination") or {}
    details: Json = destination.get("properties") or {}
    account, queue = str(details.get("resourceId") or ""), details.get("queueName")
    if destination.get("endpointType") != "StorageQueue" or not queue:
        raise ArmError(
            400,
            "InvalidRequest",
            "The local cloud delivers by an identity to storage queues only: give resourceId and"
            " queueName.",
        )
    if arm.state.resource(account) is None:
        raise not_found(account)
    seconds = int(details.get("queueMessageTimeToLiveInSeconds") or 604_800)
    return QueuePlace(account, str(queue), _writer(topic, given), seconds)


def _put(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    topic, properties = topic_of(arm, params), body.get("properties") or {}
    letters = _dead_letters(topic, properties)
    queue = _queue(arm, topic, properties)
    subscription = subscribe(arm, source_of(arm, topic), params["e"], properties, letters, queue)
    place = f"{topic.id}/eventSubscriptions/{params['e']}"
    told = _wire(arm, topic, subscription, properties)
    kept = Resource(place, f"{TOPIC_TYPE}/eventSubscriptions", "", told["properties"], {})
    arm.state.put(kept)
    return JSONResponse(told, 201)


def _patch(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    """Change a subscription; a body here has no `properties` around what it changes."""
    place = f"{topic_of(arm, params).id}/eventSubscriptions/{params['e']}"
    kept = arm.state.resource(place)
    if kept is None:
        raise ArmError(404, "ResourceNotFound", "Event subscription doesn't exist.")
    return _put(arm, request, params, {"properties": {**kept.properties, **body}})


def _wire(arm: Arm, topic: Resource, subscription: Subscription, given: Json) -> Json:
    place = f"{topic.id}/eventSubscriptions/{subscription.name}"
    source = source_of(arm, topic).id
    told = brief(subscription, place, f"{TOPIC_TYPE}/eventSubscriptions", source)
    told["properties"]["filter"] |= given.get("filter") or {}
    if given.get("deliveryWithResourceIdentity"):
        told["properties"]["destination"] = None
        told["properties"]["deliveryWithResourceIdentity"] = given["deliveryWithResourceIdentity"]
    for name in ("deadLetterWithResourceIdentity", "labels", "expirationTimeUtc"):
        if given.get(name):
            told["properties"][name] = given[name]
    return told


def _get(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    topic = topic_of(arm, params)
    kept = arm.state.resource(f"{topic.id}/eventSubscriptions/{params['e']}")
    if kept is None:
        raise ArmError(404, "ResourceNotFound", "Event subscription doesn't exist.")
    return JSONResponse(_brief(kept))


def _brief(kept: Resource) -> Json:
    told = wire(kept)
    del told["location"], told["tags"]
    return told


def _list(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    kept = arm.state.under(topic_of(arm, params).id)
    found = [_brief(child) for child in kept if child.type == f"{TOPIC_TYPE}/eventSubscriptions"]
    return JSONResponse({"value": found})


def _delete(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    topic = topic_of(arm, params)
    if not arm.state.remove(f"{topic.id}/eventSubscriptions/{params['e']}"):
        return Response(status_code=204)
    arm.eventgrid.unsubscribe(source_of(arm, topic), params["e"])
    return Response(status_code=200)


ROUTES: tuple[Route, ...] = (
    Route("GET", _EVENTS, ANY, _list),
    Route("GET", rf"{_EVENTS}/(?P<e>[^/]+)", ANY, _get),
    Route("PUT", rf"{_EVENTS}/(?P<e>[^/]+)", ANY, _put),
    Route("PATCH", rf"{_EVENTS}/(?P<e>[^/]+)", ANY, _patch),
    Route("DELETE", rf"{_EVENTS}/(?P<e>[^/]+)", ANY, _delete),
)
