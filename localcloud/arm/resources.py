"""Subscriptions, resource groups, user-assigned identities, and every resource by its type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import deployments_plain
from localcloud.arm.access import filtered, require, sees_subscription
from localcloud.arm.errors import ArmError, not_found
from localcloud.directory import TENANT_ID
from localcloud.state import Json, Resource

if TYPE_CHECKING:
    from localcloud.arm.app import Arm, Handler

ANY: frozenset[str] = frozenset()
SUBSCRIPTION = r"/subscriptions/(?P<s>[^/]+)"
GROUP = rf"{SUBSCRIPTION}/resourceGroups/(?P<g>[^/]+)"

GROUP_TYPE = "Microsoft.Resources/resourceGroups"
IDENTITY_TYPE = "Microsoft.ManagedIdentity/userAssignedIdentities"
REGISTRY_TYPE = "Microsoft.ContainerRegistry/registries"

_IDENTITIES = r"/providers/Microsoft\.ManagedIdentity/userAssignedIdentities"
_IDENTITY = rf"{GROUP}{_IDENTITIES}/(?P<i>[^/]+)"
_BY_TYPE = re.compile(r"\s*resourceType eq '([^']+)'\s*", re.IGNORECASE)
_LOCATIONS = ("eastus", "northeurope", "westeurope", "westus", "westus2")


def wire(resource: Resource) -> Json:
    """Return a kept resource in ARM's form."""
    return {
        "id": resource.id,
        "name": resource.name,
        "type": resource.type,
        "location": resource.location,
        "tags": resource.tags,
        **resource.more,
        "properties": resource.properties,
    }


def group_of(arm: Arm, params: dict[str, str]) -> Resource:
    """Return the resource group of a path.

    Raises:
        ArmError: There is none.
    """
    found = arm.state.resource(_group_id(params))
    if found is None:
        name = params["g"]
        raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
    return found


def _group_id(params: dict[str, str]) -> str:
    return f"/subscriptions/{params['s']}/resourceGroups/{params['g']}"


def location_of(body: Json) -> str:
    """Return the region that a body names, as ARM spells it.

    Raises:
        ArmError: It names none.
    """
    location = str(body.get("location") or "")
    if not location:
        raise ArmError(
            400, "LocationRequired", "The location property is required for this definition."
        )
    return location.lower().replace(" ", "")


def _subscription(arm: Arm, key: str) -> Json:
    return {
        "id": f"/subscriptions/{key}",
        "subscriptionId": key,
        "displayName": arm.state.subscriptions[key],
        "tenantId": TENANT_ID,
        "homeTenantId": TENANT_ID,
        "managedByTenants": [],
        "state": "Enabled",
    }


@filtered
def _subscriptions(arm: Arm, request: Request, _: dict[str, str], __: Json) -> Response:
    principal = arm.principal(request)
    seen = [key for key in arm.state.subscriptions if sees_subscription(arm.roles, principal, key)]
    return JSONResponse({"value": [_subscription(arm, key) for key in seen]})


@filtered
def _one_subscription(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    key = params["s"].lower()
    if not sees_subscription(arm.roles, arm.principal(request), key):
        require(
            arm.roles,
            arm.principal(request),
            "Microsoft.Resources/subscriptions/read",
            f"/subscriptions/{key}",
        )
    return JSONResponse(_subscription(arm, key))


@filtered
def _tenants(_: Arm, __: Request, ___: dict[str, str], ____: Json) -> Response:
    tenant = {"id": f"/tenants/{TENANT_ID}", "tenantId": TENANT_ID, "displayName": "Local cloud"}
    return JSONResponse({"value": [tenant]})


@filtered
def _locations(_: Arm, __: Request, params: dict[str, str], ___: Json) -> Response:
    subscription = f"/subscriptions/{params['s']}"
    found = [
        {
            "id": f"{subscription}/locations/{name}",
            "name": name,
            "displayName": name,
            "regionalDisplayName": name,
            "metadata": {"regionType": "Physical"},
        }
        for name in _LOCATIONS
    ]
    return JSONResponse({"value": found})


@filtered
def _resources(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    text = request.query_params.get("$filter", "")
    match = _BY_TYPE.fullmatch(text)
    if text and match is None:
        raise ArmError(400, "InvalidFilterInQueryString", f"Invalid $filter '{text}'.")
    wanted = match[1].lower() if match else ""
    found: list[Json] = [
        {
            "id": registry.id,
            "name": registry.name,
            "type": REGISTRY_TYPE,
            "location": registry.location,
            "tags": registry.tags,
            "sku": {"name": registry.sku, "tier": registry.sku},
        }
        for registry in arm.state.registries()
    ]
    for resource in arm.state.top_level():
        brief = wire(resource)
        del brief["properties"]
        found.append(brief)
    prefix = f"/subscriptions/{params['s']}/".lower()
    seen = [
        entry
        for entry in found
        if entry["id"].lower().startswith(prefix)
        and wanted in ("", entry["type"].lower())
        and arm.may(request, f"{entry['type']}/read", entry["id"])
    ]
    return JSONResponse({"value": seen})


@filtered
def _groups(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    prefix = f"/subscriptions/{params['s']}/".lower()
    action = "Microsoft.Resources/subscriptions/resourceGroups/read"
    seen = [
        wire(group)
        for group in arm.state.resources(GROUP_TYPE)
        if group.id.lower().startswith(prefix) and arm.may(request, action, group.id)
    ]
    return JSONResponse({"value": seen})


def _put_group(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    location = location_of(body)
    known = arm.state.resource(_group_id(params))
    if known is not None and known.location != location:
        raise ArmError(
            409,
            "InvalidResourceGroupLocation",
            f"Invalid resource group location '{location}'. The Resource group already exists in"
            f" location '{known.location}'.",
        )
    group = Resource(
        known.id if known else _group_id(params),
        GROUP_TYPE,
        location,
        {"provisioningState": "Succeeded"},
        body.get("tags") or {},
    )
    new = arm.state.put(group)
    return JSONResponse(wire(group), 201 if new else 200)


def _get_group(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    group = wire(group_of(arm, params))
    return Response(status_code=204) if request.method == "HEAD" else JSONResponse(group)


def _delete_group(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    group = group_of(arm, params)
    inside = f"{group.id}/".lower()
    for registry in arm.state.registries():
        if registry.id.lower().startswith(inside):
            arm.delete_registry(registry)
    for identity in arm.state.resources(IDENTITY_TYPE):
        if identity.id.lower().startswith(inside):
            _forget(arm, identity)
    deployments_plain.forget(arm, group.id)
    for kept in arm.state.under(group.id):
        arm.apps.delete(kept.id)
        arm.storage.forget(kept)
        arm.directory.delete(str((kept.more.get("identity") or {}).get("principalId")))
        arm.state.remove(kept.id)
    arm.state.remove(group.id)
    arm.roles.forget_scope(group.id)
    return Response(status_code=200)


def _identity_id(params: dict[str, str]) -> str:
    return f"{_group_id(params)}/providers/{IDENTITY_TYPE}/{params['i']}"


def _identity(arm: Arm, params: dict[str, str]) -> Resource:
    found = arm.state.resource(_identity_id(params))
    if found is None:
        raise not_found(f"{IDENTITY_TYPE}/{params['i']}")
    return found


def _put_identity(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    group_of(arm, params)
    known = arm.state.resource(_identity_id(params))
    if known is not None:
        kept = Resource(
            known.id, known.type, known.location, known.properties, body.get("tags") or {}
        )
    else:
        principal = arm.directory.create(params["i"], _identity_id(params))
        properties = {
            "tenantId": TENANT_ID,
            "principalId": principal.object_id,
            "clientId": principal.client_id,
        }
        kept = Resource(
            _identity_id(params),
            IDENTITY_TYPE,
            location_of(body),
            properties,
            body.get("tags") or {},
        )
    new = arm.state.put(kept)
    return JSONResponse(wire(kept), 201 if new else 200)


def _get_identity(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(wire(_identity(arm, params)))


def _delete_identity(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    known = arm.state.resource(_identity_id(params))
    if known is None:
        return Response(status_code=204)
    _forget(arm, known)
    return Response(status_code=200)


def _forget(arm: Arm, identity: Resource) -> None:
    arm.directory.delete(str(identity.properties["principalId"]))
    arm.state.remove(identity.id)
    arm.roles.forget_scope(identity.id)


@filtered
def _identities(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    prefix = f"{_group_id(params) if 'g' in params else '/subscriptions/' + params['s']}/".lower()
    seen = [
        wire(identity)
        for identity in arm.state.resources(IDENTITY_TYPE)
        if identity.id.lower().startswith(prefix)
        and arm.may(request, f"{IDENTITY_TYPE}/read", identity.id)
    ]
    return JSONResponse({"value": seen})


ROUTES: tuple[tuple[str, str, frozenset[str], Handler], ...] = (
    ("GET", "/tenants", ANY, _tenants),
    ("GET", "/subscriptions", ANY, _subscriptions),
    ("GET", SUBSCRIPTION, ANY, _one_subscription),
    ("GET", rf"{SUBSCRIPTION}/locations", ANY, _locations),
    ("GET", rf"{SUBSCRIPTION}/resources", ANY, _resources),
    ("GET", rf"{SUBSCRIPTION}/resourceGroups", ANY, _groups),
    ("GET", GROUP, ANY, _get_group),
    ("HEAD", GROUP, ANY, _get_group),
    ("PUT", GROUP, ANY, _put_group),
    ("DELETE", GROUP, ANY, _delete_group),
    ("GET", rf"{SUBSCRIPTION}{_IDENTITIES}", ANY, _identities),
    ("GET", rf"{GROUP}{_IDENTITIES}", ANY, _identities),
    ("GET", _IDENTITY, ANY, _get_identity),
    ("PUT", _IDENTITY, ANY, _put_identity),
    ("PATCH", _IDENTITY, ANY, _put_identity),
    ("DELETE", _IDENTITY, ANY, _delete_identity),
)
