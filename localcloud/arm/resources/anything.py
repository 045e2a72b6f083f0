"""Resources of types that the local cloud has nothing for: kept as they were deployed."""

from __future__ import annotations

import copy

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.errors import ArmError
from localcloud.arm.model import Arm, Route
from localcloud.directory import TENANT_ID
from localcloud.insights import connection_string, key_of
from localcloud.state import Json, Resource

_ANY: frozenset[str] = frozenset()


def keep(arm: Arm, resource_id: str, body: Json) -> tuple[int, Json]:
    """Keep a resource as it was sent; return ARM's status and the resource."""
    kept = copy.deepcopy(body)
    held = arm.plain.get(resource_id.lower())
    provider = resource_id.rpartition("/providers/")[2].split("/")
    kind = "/".join([provider[0], *provider[1::2]])
    identity = kept.get("identity")
    if identity and "SystemAssigned" in str(identity.get("type")):
        known = ((held or {}).get("identity") or {}).get("principalId")
        made = known or arm.directory.create(provider[-1], resource_id).object_id
        kept["identity"] = {**identity, "principalId": made, "tenantId": TENANT_ID}
    kept["properties"] = {
        **(kept.get("properties") or {}),
        **_provided(kind, resource_id),
        "provisioningState": "Succeeded",
    }
    kept |= {"id": resource_id, "name": provider[-1], "type": kind}
    arm.plain[resource_id.lower()] = kept
    if kind.lower() == "microsoft.insights/components":
        arm.insights.know(resource_id)
    arm.state.put(
        Resource(
            resource_id,
            kind,
            kept.get("location") or "",
            kept["properties"],
            kept.get("tags") or {},
        )
    )
    return (200 if held else 201), kept


def _provided(kind: str, resource_id: str) -> Json:
    """Return what a provider itself says of a resource, and templates refer to."""
    key = key_of(resource_id)
    if kind.lower() == "microsoft.insights/components":
        connection = connection_string(resource_id)
        return {"InstrumentationKey": key, "AppId": key, "ConnectionString": connection}
    if kind.lower() == "microsoft.operationalinsights/workspaces":
        return {"customerId": key}
    return {}


def forget(arm: Arm, scope: str) -> None:
    """Forget what was kept below a scope that is deleted."""
    inside = f"{scope}/".lower()
    for key in [key for key in arm.plain if key.startswith(inside)]:
        del arm.plain[key]
        arm.state.remove(key)


def _find(arm: Arm, request: Request) -> Json:
    found = arm.plain.get(request.url.path.rstrip("/").lower())
    if found is None:
        message = f"No {request.method} at {request.url.path} here."
        raise ArmError(404, "InvalidResourceType", message)
    return found


def _get(arm: Arm, request: Request, _: dict[str, str], __: Json) -> Response:
    return JSONResponse(_find(arm, request))


def _delete(arm: Arm, request: Request, _: dict[str, str], __: Json) -> Response:
    found = _find(arm, request)
    del arm.plain[found["id"].lower()]
    arm.state.remove(found["id"])
    arm.roles.forget_scope(found["id"])
    return Response(status_code=200)


def _settings(arm: Arm, request: Request, _: dict[str, str], __: Json) -> Response:
    """List the diagnostic settings of a resource."""
    inside = f"{request.url.path.rstrip('/')}/".lower()
    found = [kept for key, kept in arm.plain.items() if key.startswith(inside)]
    return JSONResponse({"value": found})


_SETTINGS = r"/subscriptions/(?P<s>[^/]+)/.+/providers/Microsoft\.Insights/diagnosticSettings"
_PATH = r"/subscriptions/(?P<s>[^/]+)/.*providers/.+"

ROUTES: tuple[Route, ...] = (
    Route("GET", _SETTINGS, _ANY, _settings),
    Route("GET", _PATH, _ANY, _get),
    Route("DELETE", _PATH, _ANY, _delete),
)
"""To be asked after every other route."""
