"""Resource groups."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.access import filtered
from localcloud.arm.errors import ArmError
from localcloud.arm.kept import (
    GROUP,
    GROUP_TYPE,
    IDENTITY_TYPE,
    SUBSCRIPTION,
    group_id,
    group_of,
    location_of,
    wire,
)
from localcloud.arm.model import Arm, Route
from localcloud.arm.operations import begun
from localcloud.arm.resources import anything, userassigned
from localcloud.arm.schemas import common
from localcloud.state import Json, Resource


@filtered
def _groups(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    prefix = f"/subscriptions/{params['s']}/".lower()
    action = "Microsoft.Resources/subscriptions/resourceGroups/read"
    seen = [
        wire(group)
        for group in arm.state.resources(GROUP_TYPE)
        if group.id.lower().startswith(prefix) and arm.may(request, action, group.id)
    ]
    return paging.listed(arm, request, seen)


def _put_group(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    location = location_of(body)
    known = arm.state.resource(group_id(params))
    if known is not None and known.location != location:
        raise ArmError(
            409,
            "InvalidResourceGroupLocation",
            f"Invalid resource group location '{location}'. The Resource group already exists in"
            f" location '{known.location}'.",
        )
    group = Resource(
        known.id if known else group_id(params),
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


def _delete_group(arm: Arm, request: Request, params: dict[str, str], __: Json) -> Response:
    group = group_of(arm, params)
    inside = f"{group.id}/".lower()
    for registry in arm.state.registries():
        if registry.id.lower().startswith(inside):
            arm.delete_registry(registry)
    for identity in arm.state.resources(IDENTITY_TYPE):
        if identity.id.lower().startswith(inside):
            userassigned.forget(arm, identity)
    anything.forget(arm, group.id)
    for kept in arm.state.under(group.id):
        arm.apps.delete(kept.id)
        arm.storage.forget(kept)
        arm.directory.delete(str((kept.more.get("identity") or {}).get("principalId")))
        arm.state.remove(kept.id)
    arm.state.remove(group.id)
    arm.roles.forget_scope(group.id)
    headers = begun(arm, request, "Microsoft.Resources", group.location, result=True)
    return Response(status_code=202, headers=headers)


ROUTES: tuple[Route, ...] = (
    Route("GET", rf"{SUBSCRIPTION}/resourceGroups", versions.RESOURCES, _groups),
    Route("GET", GROUP, versions.RESOURCES, _get_group),
    Route("HEAD", GROUP, versions.RESOURCES, _get_group),
    Route("PUT", GROUP, versions.RESOURCES, _put_group, common.GROUP),
    Route("DELETE", GROUP, versions.RESOURCES, _delete_group),
)
