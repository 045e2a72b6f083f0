"""User-assigned identities."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.access import filtered
from localcloud.arm.errors import not_found
from localcloud.arm.kept import (
    GROUP,
    IDENTITY_TYPE,
    SUBSCRIPTION,
    group_id,
    group_of,
    location_of,
    wire,
)
from localcloud.arm.model import Arm, Route
from localcloud.arm.schemas import common
from localcloud.directory import TENANT_ID
from localcloud.state import Json, Resource

_IDENTITIES = r"/providers/Microsoft\.ManagedIdentity/userAssignedIdentities"
_IDENTITY = rf"{GROUP}{_IDENTITIES}/(?P<i>[^/]+)"


def _identity_id(params: dict[str, str]) -> str:
    return f"{group_id(params)}/providers/{IDENTITY_TYPE}/{params['i']}"


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


def _patch_identity(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    known = _identity(arm, params)
    tags = body.get("tags")
    kept = replace(known, tags=known.tags if tags is None else tags)
    arm.state.put(kept)
    return JSONResponse(wire(kept))


def _get_identity(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(wire(_identity(arm, params)))


def _delete_identity(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    known = arm.state.resource(_identity_id(params))
    if known is None:
        return Response(status_code=204)
    forget(arm, known)
    return Response(status_code=200)


def forget(arm: Arm, identity: Resource) -> None:
    """Delete an identity with its roles."""
    arm.directory.delete(str(identity.properties["principalId"]))
    arm.state.remove(identity.id)
    arm.roles.forget_scope(identity.id)


@filtered
def _identities(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    prefix = f"{group_id(params) if 'g' in params else '/subscriptions/' + params['s']}/".lower()
    seen = [
        wire(identity)
        for identity in arm.state.resources(IDENTITY_TYPE)
        if identity.id.lower().startswith(prefix)
        and arm.may(request, f"{IDENTITY_TYPE}/read", identity.id)
    ]
    return paging.listed(arm, request, seen)


ROUTES: tuple[Route, ...] = (
    Route("GET", rf"{SUBSCRIPTION}{_IDENTITIES}", versions.IDENTITIES, _identities),
    Route("GET", rf"{GROUP}{_IDENTITIES}", versions.IDENTITIES, _identities),
    Route("GET", _IDENTITY, versions.IDENTITIES, _get_identity),
    Route("PUT", _IDENTITY, versions.IDENTITIES, _put_identity, common.USER_ASSIGNED),
    Route("PATCH", _IDENTITY, versions.IDENTITIES, _patch_identity, common.USER_ASSIGNED),
    Route("DELETE", _IDENTITY, versions.IDENTITIES, _delete_identity),
)
