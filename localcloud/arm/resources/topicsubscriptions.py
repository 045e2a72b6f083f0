"""The event subscriptions of a system topic."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.kept import wire
from localcloud.arm.model import Arm, Route
from localcloud.arm.resources.eventsubscriptions import brief, creating, subscribe
from localcloud.arm.resources.systemtopics import TOPIC, TOPIC_TYPE, source_of, topic_of
from localcloud.arm.schemas import events as schemas
from localcloud.eventgrid import DeadLetterContainer, QueuePlace
from localcloud.state import Json, Resource, told

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


def _put(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    topic, properties = topic_of(arm, params), body.get("properties") or {}
    letters = _dead_letters(topic, properties)
    queue = _queue(arm, topic, properties)
    subscription = subscribe(arm, source_of(arm, topic), params["e"], properties, letters, queue)
    place = f"{topic.id}/eventSubscriptions/{subscription.name}"
    wire = brief(subscription, place, f"{TOPIC_TYPE}/eventSubscriptions", topic.id, properties)
    if given := properties.get("deliveryWithResourceIdentity"):
        del wire["properties"]["destination"]
        wire["properties"]["deliveryWithResourceIdentity"] = given
    arm.subscribed[place.lower()] = properties
    arm.state.put(Resource(place, wire["type"], "", wire["properties"], {}))
    return creating(arm, request, wire)


def _patch(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    """Change a subscription; a body here has no `properties` around what it changes."""
    place = f"{topic_of(arm, params).id}/eventSubscriptions/{params['e']}"
    known = arm.subscribed.get(place.lower())
    if known is None:
        raise ArmError(404, "ResourceNotFound", "Event subscription doesn't exist.")
    return _put(arm, request, params, {"properties": {**known, **told(body)}})


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


def _list(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    kept = arm.state.under(topic_of(arm, params).id)
    kind = f"{TOPIC_TYPE}/eventSubscriptions"
    return paging.listed(arm, request, [_brief(child) for child in kept if child.type == kind])


def _delete(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    topic = topic_of(arm, params)
    if not arm.state.remove(f"{topic.id}/eventSubscriptions/{params['e']}"):
        return Response(status_code=204)
    arm.subscribed.pop(f"{topic.id}/eventSubscriptions/{params['e']}".lower(), None)
    arm.eventgrid.unsubscribe(source_of(arm, topic), params["e"])
    return Response(status_code=200)


ROUTES: tuple[Route, ...] = (
    Route("GET", _EVENTS, versions.EVENTS, _list),
    Route("GET", rf"{_EVENTS}/(?P<e>[^/]+)", versions.EVENTS, _get),
    Route("PUT", rf"{_EVENTS}/(?P<e>[^/]+)", versions.EVENTS, _put, schemas.SUBSCRIPTION),
    Route("PATCH", rf"{_EVENTS}/(?P<e>[^/]+)", versions.EVENTS, _patch, schemas.CHANGES),
    Route("DELETE", rf"{_EVENTS}/(?P<e>[^/]+)", versions.EVENTS, _delete),
)
