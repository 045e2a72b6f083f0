"""Subscriptions, resource groups and registries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.errors import ArmError
from localcloud.arm.paging import page
from localcloud.state import Json, Registry, azure_time

if TYPE_CHECKING:
    from localcloud.arm.app import Arm, Handler

ANY: frozenset[str] = frozenset()
# 2025-11-01 is what azure-mgmt-containerregistry 15 sends.
VERSIONS = frozenset({"2019-05-01", "2023-07-01", "2025-04-01", "2025-11-01"})

SUBSCRIPTION = r"/subscriptions/(?P<s>[^/]+)"
GROUPS = rf"{SUBSCRIPTION}/resourceGroups"
GROUP = rf"{GROUPS}/(?P<g>[^/]+)"
PROVIDER = r"/providers/Microsoft\.ContainerRegistry"
REGISTRY = rf"{GROUP}{PROVIDER}/registries/(?P<r>[^/]+)"


def _wire(registry: Registry) -> Json:
    properties: Json = {
        "loginServer": registry.login_server,
        "provisioningState": "Succeeded",
        "adminUserEnabled": True,
    }
    if registry.created is not None:
        properties["creationDate"] = azure_time(registry.created)
    return {
        "id": registry.id,
        "name": registry.name,
        "type": "Microsoft.ContainerRegistry/registries",
        "location": registry.location,
        "tags": registry.tags,
        "sku": {"name": registry.sku, "tier": registry.sku},
        "properties": properties,
    }


def _get(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(_wire(arm.registry(params)))


def _put(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    name = params["r"]
    location, sku = body.get("location"), (body.get("sku") or {}).get("name")
    if not location or not sku:
        raise ArmError(400, "InvalidRequestContent", "location and sku.name are required.")
    try:
        known = arm.registry(params)
    except ArmError:
        login_server = f"{name.lower()}.azurecr.io"
        registry = Registry(params["s"], params["g"], name, location, login_server, sku)
    else:
        return _change(known, body)
    registry.tags = body.get("tags") or {}
    registry.created = arm.clock.now()
    try:
        arm.state.add(registry)
    except ValueError as error:
        message = f"The registry DNS name {login_server} is already in use."
        raise ArmError(409, "AlreadyInUse", message) from error
    return JSONResponse(_wire(registry), 201)


def _patch(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    return _change(arm.registry(params), body)


def _change(registry: Registry, body: Json) -> Response:
    registry.sku = (body.get("sku") or {}).get("name") or registry.sku
    registry.tags = registry.tags if body.get("tags") is None else body["tags"]
    return JSONResponse(_wire(registry))


def _delete(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    try:
        registry = arm.registry(params)
    except ArmError:
        return Response(status_code=204)
    for run in list(registry.runs.values()):
        arm.scheduler.cancel(run)
    arm.state.remove(registry)
    arm.forget_images(registry)
    return Response(status_code=200)


def _list(arm: Arm, request: Request, params: dict[str, str], __: Json) -> Response:
    group = params.get("g")
    found = [
        (registry.id.lower(), registry)
        for registry in arm.state.registries()
        if registry.subscription_id.lower() == params["s"].lower()
        and (group is None or registry.resource_group.lower() == group.lower())
    ]
    return page(request, sorted(found, key=lambda pair: pair[0]), arm.behaviour.page_size, _wire)


def _credentials(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    registry = arm.registry(params)
    passwords = [{"name": "password", "value": registry.admin_password}]
    return JSONResponse({"username": registry.name, "passwords": passwords})


def _replications(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    arm.registry(params)
    return JSONResponse({"value": []})


def _groups(arm: Arm, subscription: str) -> dict[str, Json]:
    """Return a subscription's resource groups: those made, and those that registries are in."""
    found = {
        registry_group.lower(): {"id": registry_group, "location": registry.location}
        for registry in arm.state.registries()
        for registry_group in [registry.id.partition("/providers/")[0]]
    }
    found |= arm.groups
    within = f"/subscriptions/{subscription}/".lower()
    return {
        key: {
            "id": group["id"],
            "name": group["id"].rpartition("/")[2],
            "type": "Microsoft.Resources/resourceGroups",
            "location": group["location"],
            "properties": {"provisioningState": "Succeeded"},
        }
        for key, group in sorted(found.items())
        if key.startswith(within)
    }


def _put_group(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    group = f"/subscriptions/{params['s']}/resourceGroups/{params['g']}"
    if not body.get("location"):
        raise ArmError(400, "LocationRequired", "The location property is required.")
    known = group.lower() in _groups(arm, params["s"])
    arm.groups[group.lower()] = {"id": group, "location": body["location"]}
    return JSONResponse(_groups(arm, params["s"])[group.lower()], 200 if known else 201)


def _get_group(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    key = f"/subscriptions/{params['s']}/resourceGroups/{params['g']}".lower()
    found = _groups(arm, params["s"]).get(key)
    if found is None:
        message = f"Resource group '{params['g']}' could not be found."
        raise ArmError(404, "ResourceGroupNotFound", message)
    return JSONResponse(found)


def _list_groups(arm: Arm, request: Request, params: dict[str, str], __: Json) -> Response:
    found = _groups(arm, params["s"])
    return page(request, found.items(), arm.behaviour.page_size, lambda group: group)


def _known_subscriptions(arm: Arm) -> dict[str, Json]:
    """Return the subscriptions: a subscription is known once there is something in it."""
    ids = {registry.subscription_id for registry in arm.state.registries()}
    ids |= {group["id"].split("/")[2] for group in arm.groups.values()}
    return {
        subscription.lower(): {
            "id": f"/subscriptions/{subscription}",
            "subscriptionId": subscription,
            "displayName": subscription,
            "tenantId": arm.tokens.tenant_id,
            "state": "Enabled",
        }
        for subscription in sorted(ids, key=str.lower)
    }


def _subscriptions(arm: Arm, request: Request, _: dict[str, str], __: Json) -> Response:
    found = _known_subscriptions(arm)
    return page(request, found.items(), arm.behaviour.page_size, lambda wire: wire)


def _subscription(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    found = _known_subscriptions(arm).get(params["s"].lower())
    if found is None:
        message = f"The subscription '{params['s']}' could not be found."
        raise ArmError(404, "SubscriptionNotFound", message)
    return JSONResponse(found)


ROUTES: tuple[tuple[str, str, frozenset[str], Handler], ...] = (
    ("GET", "/subscriptions", ANY, _subscriptions),
    ("GET", SUBSCRIPTION, ANY, _subscription),
    ("GET", GROUPS, ANY, _list_groups),
    ("GET", GROUP, ANY, _get_group),
    ("PUT", GROUP, ANY, _put_group),
    ("GET", rf"{SUBSCRIPTION}{PROVIDER}/registries", VERSIONS, _list),
    ("GET", rf"{GROUP}{PROVIDER}/registries", VERSIONS, _list),
    ("GET", REGISTRY, VERSIONS, _get),
    ("PUT", REGISTRY, VERSIONS, _put),
    ("PATCH", REGISTRY, VERSIONS, _patch),
    ("DELETE", REGISTRY, VERSIONS, _delete),
    ("POST", rf"{REGISTRY}/listCredentials", VERSIONS, _credentials),
    ("GET", rf"{REGISTRY}/replications", VERSIONS, _replications),
)
