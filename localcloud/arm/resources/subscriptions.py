"""Tenants, subscriptions, their regions, and every resource by its type."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.access import filtered, require, sees_subscription
from localcloud.arm.errors import ArmError
from localcloud.arm.kept import GROUP, REGISTRY_TYPE, SUBSCRIPTION, wire
from localcloud.arm.model import Arm, Route
from localcloud.directory import TENANT_ID
from localcloud.state import Json

_FILTER = re.compile(
    r"\s*(?:resourceType eq '(?P<kind>[^']+)'|resourceGroup eq '(?P<group>[^']+)'"
    r"|tagName eq '(?P<tag>[^']+)' and tagValue eq '(?P<value>[^']+)')\s*",
    re.IGNORECASE,
)
_LOCATIONS = ("eastus", "northeurope", "westeurope", "westus", "westus2")


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
    return paging.listed(arm, request, [_subscription(arm, key) for key in seen])


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
def _tenants(arm: Arm, request: Request, _: dict[str, str], __: Json) -> Response:
    tenant = {"id": f"/tenants/{TENANT_ID}", "tenantId": TENANT_ID, "displayName": "Local cloud"}
    return paging.listed(arm, request, [tenant])


@filtered
def _locations(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
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
    return paging.listed(arm, request, found)


@filtered
def _resources(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    text = request.query_params.get("$filter", "")
    match = _FILTER.fullmatch(text)
    if text and match is None:
        raise ArmError(400, "InvalidFilterInQueryString", f"Invalid $filter '{text}'.")
    chosen = {k: v for k, v in (match.groupdict() if match else {}).items() if v is not None}
    wanted, group = chosen.get("kind", "").lower(), chosen.get("group") or params.get("g")
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
    if group:
        prefix += f"resourcegroups/{group}/".lower()
    seen = [
        entry
        for entry in found
        if entry["id"].lower().startswith(prefix)
        and wanted in ("", entry["type"].lower())
        and ("tag" not in chosen or entry["tags"].get(chosen["tag"]) == chosen["value"])
        and arm.may(request, f"{entry['type']}/read", entry["id"])
    ]
    return paging.listed(arm, request, seen)


ROUTES: tuple[Route, ...] = (
    Route("GET", "/tenants", versions.SUBSCRIPTIONS, _tenants),
    Route("GET", "/subscriptions", versions.SUBSCRIPTIONS, _subscriptions),
    Route("GET", SUBSCRIPTION, versions.SUBSCRIPTIONS, _one_subscription),
    Route("GET", rf"{SUBSCRIPTION}/locations", versions.SUBSCRIPTIONS, _locations),
    Route("GET", rf"{SUBSCRIPTION}/resources", versions.RESOURCES, _resources),
    Route("GET", rf"{GROUP}/resources", versions.RESOURCES, _resources),
)
