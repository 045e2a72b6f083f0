"""Subscriptions, resource groups and registries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.errors import ArmError
from localcloud.state import Json, Registry

if TYPE_CHECKING:
    from localcloud.arm.app import Arm, Handler

ANY: frozenset[str] = frozenset()
VERSIONS = frozenset({"2019-05-01", "2023-07-01", "2025-04-01", "2025-11-01"})

SUBSCRIPTION = r"/subscriptions/(?P<s>[^/]+)"
GROUP = rf"{SUBSCRIPTION}/resourceGroups/(?P<g>[^/]+)"
PROVIDER = r"/providers/Microsoft\.ContainerRegistry"
REGISTRY = rf"{GROUP}{PROVIDER}/registries/(?P<r>[^/]+)"


def _wire(registry: Registry) -> Json:
    return {
        "id": registry.id,
        "name": registry.name,
        "type": "Microsoft.ContainerRegistry/registries",
        "location": registry.location,
        "tags": {},
        "sku": {"name": registry.sku, "tier": registry.sku},
        "properties": {
            "loginServer": registry.login_server,
            "creationDate": "2026-01-01T00:00:00.0000000Z",
            "provisioningState": "Succeeded",
            "adminUserEnabled": True,
        },
    }


def _get(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(_wire(arm.registry(params)))


def _put(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    name = params["r"]
    location, sku = body.get("location"), (body.get("sku") or {}).get("name")
    if not location or not sku:
        raise ArmError(400, "InvalidRequestContent", "location and sku.name are required.")
    try:
        return JSONResponse(_wire(arm.registry(params)))
    except ArmError:
        login_server = f"{name.lower()}.azurecr.io"
        registry = Registry(params["s"], params["g"], name, location, login_server, sku)
    try:
        arm.state.add(registry)
    except ValueError as error:
        message = f"The registry DNS name {login_server} is already in use."
        raise ArmError(409, "AlreadyInUse", message) from error
    return JSONResponse(_wire(registry), 201)


def _list(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    group = params.get("g")
    found = [
        _wire(registry)
        for registry in arm.state.registries()
        if registry.subscription_id.lower() == params["s"].lower()
        and (group is None or registry.resource_group.lower() == group.lower())
    ]
    return JSONResponse({"value": found})


def _credentials(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    registry = arm.registry(params)
    passwords = [{"name": "password", "value": registry.admin_password}]
    return JSONResponse({"username": registry.name, "passwords": passwords})


def _put_group(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    group = f"/subscriptions/{params['s']}/resourceGroups/{params['g']}"
    known = arm.groups.get(group.lower())
    wire = {
        "id": group,
        "name": params["g"],
        "type": "Microsoft.Resources/resourceGroups",
        "location": body.get("location", ""),
        "properties": {"provisioningState": "Succeeded"},
    }
    arm.groups[group.lower()] = wire
    return JSONResponse(wire, 200 if known else 201)


def _subscriptions(arm: Arm, _: Request, __: dict[str, str], ___: Json) -> Response:
    ids = sorted({registry.subscription_id for registry in arm.state.registries()})
    found = [
        {
            "id": f"/subscriptions/{subscription}",
            "subscriptionId": subscription,
            "displayName": subscription,
            "tenantId": arm.tokens.tenant_id,
            "state": "Enabled",
        }
        for subscription in ids
    ]
    return JSONResponse({"value": found})


ROUTES: tuple[tuple[str, str, frozenset[str], Handler], ...] = (
    ("GET", "/subscriptions", ANY, _subscriptions),
    ("PUT", GROUP, ANY, _put_group),
    ("GET", rf"{SUBSCRIPTION}{PROVIDER}/registries", VERSIONS, _list),
    ("GET", rf"{GROUP}{PROVIDER}/registries", VERSIONS, _list),
    ("GET", REGISTRY, VERSIONS, _get),
    ("PUT", REGISTRY, VERSIONS, _put),
    ("POST", rf"{REGISTRY}/listCredentials", VERSIONS, _credentials),
)
