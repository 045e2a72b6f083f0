"""Event Grid's system topics.

Source of the shapes: Microsoft.EventGrid systemTopics 2025-02-15, the REST reference; of the
errors: what users report (azure-docs pull request 97986, azure-quickstart-templates issue 13688).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.identities import assigned, forget_identity
from localcloud.arm.kept import GROUP, SUBSCRIPTION, group_id, group_of, location_of, wire
from localcloud.arm.model import Arm, Route
from localcloud.arm.schemas import events as schemas
from localcloud.eventgrid import SystemTopic, Topic
from localcloud.state import Json, Resource

TOPIC_TYPE = "Microsoft.EventGrid/systemTopics"
_TOPICS = r"/providers/Microsoft\.EventGrid/systemTopics"
TOPIC = rf"{GROUP}{_TOPICS}/(?P<t>[^/]+)"
_REGISTRIES = "microsoft.containerregistry.registries"
_TYPES = (_REGISTRIES, "microsoft.resources.subscriptions", "microsoft.resources.resourcegroups")


def _id(params: Mapping[str, str]) -> str:
    return f"{group_id(params)}/providers/{TOPIC_TYPE}/{params['t']}"


def topic_of(arm: Arm, params: Mapping[str, str]) -> Resource:
    """Return the system topic of a path.

    Raises:
        ArmError: There is none.
    """
    found = arm.state.resource(_id(params))
    if found is None:
        raise not_found(f"{TOPIC_TYPE}/{params['t']}")
    return found


def source_of(arm: Arm, topic: Resource) -> Topic:
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
    source_of(arm, made)
    new = arm.state.put(made)
    return JSONResponse(wire(made), 201 if new else 200)


def _patch_topic(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    """Change tags and identity, which are all that can be changed."""
    known = topic_of(arm, params)
    tags = body.get("tags")
    made = replace(
        known,
        tags=known.tags if tags is None else tags,
        more=assigned(arm, known, known.id, body),
    )
    arm.state.put(made)
    return JSONResponse(wire(made))


def _get_topic(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(wire(topic_of(arm, params)))


def _list_topics(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    scope = f"/subscriptions/{params['s']}/"
    if "g" in params:
        scope += f"resourceGroups/{params['g']}/"
    found = arm.state.resources(TOPIC_TYPE)
    return paging.listed(
        arm, request, [wire(t) for t in found if t.id.lower().startswith(scope.lower())]
    )


def _delete_topic(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    known = arm.state.resource(_id(params))
    if known is None:
        return Response(status_code=204)
    source = source_of(arm, known)
    for child in arm.state.under(known.id):
        arm.eventgrid.unsubscribe(source, child.name)
        arm.state.remove(child.id)
    forget_identity(arm, known)
    arm.state.remove(known.id)
    return Response(status_code=200)


ROUTES: tuple[Route, ...] = (
    Route("GET", rf"{SUBSCRIPTION}{_TOPICS}", versions.EVENTS, _list_topics),
    Route("GET", rf"{GROUP}{_TOPICS}", versions.EVENTS, _list_topics),
    Route("GET", TOPIC, versions.EVENTS, _get_topic),
    Route("PUT", TOPIC, versions.EVENTS, _put_topic, schemas.TOPIC),
    Route("PATCH", TOPIC, versions.EVENTS, _patch_topic, schemas.TOPIC),
    Route("DELETE", TOPIC, versions.EVENTS, _delete_topic),
)
