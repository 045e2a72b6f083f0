"""Event Grid's system topics and their subscriptions.

Source of the shapes: Microsoft.EventGrid systemTopics 2025-02-15, the REST reference; of the
errors: what users report (azure-docs pull request 97986, azure-quickstart-templates issue 13688).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.eventsubscriptions import brief, subscribe
from localcloud.arm.identities import assigned, forget_identity
from localcloud.arm.resources import ANY, GROUP, SUBSCRIPTION, group_of, location_of, wire
from localcloud.eventgrid import DeadLetterContainer, Subscription, SystemTopic, Topic
from localcloud.state import Json, Resource

if TYPE_CHECKING:
    from localcloud.arm.app import Arm, Handler

TOPIC_TYPE = "Microsoft.EventGrid/systemTopics"
_TOPICS = r"/providers/Microsoft\.EventGrid/systemTopics"
_TOPIC = rf"{GROUP}{_TOPICS}/(?P<t>[^/]+)"
_EVENTS = rf"{_TOPIC}/eventSubscriptions"
_REGISTRIES = "microsoft.containerregistry.registries"
_TYPES = (_REGISTRIES, "microsoft.resources.subscriptions", "microsoft.resources.resourcegroups")


def _id(params: Mapping[str, str]) -> str:
    group = f"/subscriptions/{params['s']}/resourceGroups/{params['g']}"
    return f"{group}/providers/{TOPIC_TYPE}/{params['t']}"


def _topic(arm: Arm, params: Mapping[str, str]) -> Resource:
    found = arm.state.resource(_id(params))
    if found is None:
        raise not_found(f"{TOPIC_TYPE}/{params['t']}")
    return found


def _source(arm: Arm, topic: Resource) -> Topic:
    """Return what a topic tells of.

    Raises:
        ArmError: It is not there any more.
    """
    source = str(topic.properties["source"])
    if topic.properties["topicType"].lower() != _REGISTRIES:
        return SystemTopic(source)
    registry = arm.state.by_id(source)
    if registry is None:
        raise not_found(source)
    return registry


def _put_topic(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    group_of(arm, params)
    known = arm.state.resource(_id(params))
    properties: Json = {**(known.properties if known else {}), **(body.get("properties") or {})}
    source, kind = str(properties.get("source") or ""), str(properties.get("topicType") or "")
    if kind.lower() not in _TYPES:
        raise ArmError(400, "InvalidRequest", f"The local cloud has no topics of type '{kind}'.")
    if known is not None and known.properties["source"].lower() != source.lower():
        raise ArmError(400, "InvalidRequest", "System topic source cannot be modified.")
    for other in arm.state.resources(TOPIC_TYPE):
        same = other.properties["source"].lower() == source.lower()
        if same and other.id.lower() != _id(params).lower():
            raise ArmError(
                400,
                "InvalidRequest",
                f"There is an existing tracked system topic for the given source {source}. Only"
                " one system topic is allowed per source.",
            )
    made = Resource(
        known.id if known else _id(params),
        TOPIC_TYPE,
        known.location if known else location_of(body),
        {
            "source": source,
            "topicType": kind,
            "metricResourceId": properties.get("metricResourceId") or arm.new_id(),
            "provisioningState": "Succeeded",
        },
        body.get("tags") or (known.tags if known else {}),
        assigned(arm, known, _id(params), body),
    )
    _source(arm, made)
    new = arm.state.put(made)
    return JSONResponse(wire(made), 201 if new else 200)


def _get_topic(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(wire(_topic(arm, params)))


def _list_topics(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    scope = f"/subscriptions/{params['s']}/"
    if "g" in params:
        scope += f"resourceGroups/{params['g']}/"
    found = arm.state.resources(TOPIC_TYPE)
    return JSONResponse(
        {"value": [wire(t) for t in found if t.id.lower().startswith(scope.lower())]}
    )


def _delete_topic(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    known = arm.state.resource(_id(params))
    if known is None:
        return Response(status_code=204)
    source = _source(arm, known)
    for child in arm.state.under(known.id):
        arm.eventgrid.unsubscribe(source, child.name)
        arm.state.remove(child.id)
    forget_identity(arm, known)
    arm.state.remove(known.id)
    return Response(status_code=200)


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
    asked: Json = given.get("identity") or {}
    own: Json = topic.more.get("identity") or {}
    principal = own.get("principalId")
    if str(asked.get("type")).lower() == "userassigned":
        wanted = str(asked.get("userAssignedIdentity")).lower()
        others: Json = own.get("userAssignedIdentities") or {}
        principal = next((o["principalId"] for k, o in others.items() if k.lower() == wanted), None)
    if principal is None:
        raise ArmError(400, "InvalidRequest", "The system topic does not have that identity.")
    return DeadLetterContainer(account, container, topic.name, principal)


def _put(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    topic, properties = _topic(arm, params), body.get("properties") or {}
    letters = _dead_letters(topic, properties)
    subscription = subscribe(arm, _source(arm, topic), params["e"], properties, letters)
    place = f"{topic.id}/eventSubscriptions/{params['e']}"
    told = _wire(arm, topic, subscription, properties)
    kept = Resource(place, f"{TOPIC_TYPE}/eventSubscriptions", "", told["properties"], {})
    arm.state.put(kept)
    return JSONResponse(told, 201)


def _patch(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    """Change a subscription; a body here has no `properties` around what it changes."""
    place = f"{_topic(arm, params).id}/eventSubscriptions/{params['e']}"
    kept = arm.state.resource(place)
    if kept is None:
        raise ArmError(404, "ResourceNotFound", "Event subscription doesn't exist.")
    return _put(arm, request, params, {"properties": {**kept.properties, **body}})


def _wire(arm: Arm, topic: Resource, subscription: Subscription, given: Json) -> Json:
    place = f"{topic.id}/eventSubscriptions/{subscription.name}"
    source = _source(arm, topic).id
    told = brief(subscription, place, f"{TOPIC_TYPE}/eventSubscriptions", source)
    told["properties"]["filter"] |= given.get("filter") or {}
    for name in ("deadLetterWithResourceIdentity", "labels", "expirationTimeUtc"):
        if given.get(name):
            told["properties"][name] = given[name]
    return told


def _get(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    topic = _topic(arm, params)
    kept = arm.state.resource(f"{topic.id}/eventSubscriptions/{params['e']}")
    if kept is None:
        raise ArmError(404, "ResourceNotFound", "Event subscription doesn't exist.")
    return JSONResponse(_brief(kept))


def _brief(kept: Resource) -> Json:
    told = wire(kept)
    del told["location"], told["tags"]
    return told


def _list(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse({"value": [_brief(c) for c in arm.state.under(_topic(arm, params).id)]})


def _delete(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    topic = _topic(arm, params)
    if not arm.state.remove(f"{topic.id}/eventSubscriptions/{params['e']}"):
        return Response(status_code=204)
    arm.eventgrid.unsubscribe(_source(arm, topic), params["e"])
    return Response(status_code=200)


ROUTES: tuple[tuple[str, str, frozenset[str], Handler], ...] = (
    ("GET", rf"{SUBSCRIPTION}{_TOPICS}", ANY, _list_topics),
    ("GET", rf"{GROUP}{_TOPICS}", ANY, _list_topics),
    ("GET", _TOPIC, ANY, _get_topic),
    ("PUT", _TOPIC, ANY, _put_topic),
    ("DELETE", _TOPIC, ANY, _delete_topic),
    ("GET", _EVENTS, ANY, _list),
    ("GET", rf"{_EVENTS}/(?P<e>[^/]+)", ANY, _get),
    ("PUT", rf"{_EVENTS}/(?P<e>[^/]+)", ANY, _put),
    ("PATCH", rf"{_EVENTS}/(?P<e>[^/]+)", ANY, _patch),
    ("DELETE", rf"{_EVENTS}/(?P<e>[^/]+)", ANY, _delete),
)
