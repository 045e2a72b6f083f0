"""Registries."""

from __future__ import annotations

import copy
import re
import secrets

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.access import filtered
from localcloud.arm.errors import ArmError
from localcloud.arm.kept import GROUP, REGISTRY_TYPE, SUBSCRIPTION, group_of, location_of
from localcloud.arm.model import Arm, Route
from localcloud.arm.operations import begun
from localcloud.arm.schemas import registries as schemas
from localcloud.state import Json, Registry, azure_time

PROVIDER_NAME = "Microsoft.ContainerRegistry"
PROVIDER = r"/providers/Microsoft\.ContainerRegistry"
REGISTRY = rf"{GROUP}{PROVIDER}/registries/(?P<r>[^/]+)"

_NAME = re.compile(r"[a-zA-Z0-9]{5,50}")
_SKUS = {name.lower(): name for name in ("Basic", "Standard", "Premium")}
# What the service says itself, whatever a client sends.
_READ_ONLY = frozenset({"loginServer", "creationDate", "provisioningState", "status"})


def _wire(registry: Registry, state: str = "Succeeded") -> Json:
    return {
        "id": registry.id,
        "name": registry.name,
        "type": REGISTRY_TYPE,
        "location": registry.location,
        "tags": registry.tags,
        "sku": {"name": registry.sku, "tier": registry.sku},
        "properties": {
            "adminUserEnabled": False,
            "anonymousPullEnabled": False,
            "dataEndpointEnabled": False,
            "dataEndpointHostNames": [],
            "encryption": {"status": "disabled"},
            "networkRuleBypassOptions": "AzureServices",
            "publicNetworkAccess": "Enabled",
            "roleAssignmentMode": "LegacyRegistryPermissions",
            "zoneRedundancy": "Disabled",
            **registry.properties,
            "loginServer": registry.login_server,
            "creationDate": registry.created,
            "provisioningState": state,
        },
    }


def _get(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(_wire(arm.registry(params)))


def _sku(body: Json) -> str:
    given = str((body.get("sku") or {}).get("name") or "")
    if given.lower() not in _SKUS:
        raise ArmError(
            400, "InvalidSku", f"sku.name is '{given}': use {', '.join(_SKUS.values())}."
        )
    return _SKUS[given.lower()]


def _settable(body: Json) -> Json:
    properties = copy.deepcopy(body.get("properties") or {})
    return {
        name: value
        for name, value in properties.items()
        if name not in _READ_ONLY and value is not None
    }


def _put(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    group_of(arm, params)
    name, location = params["r"], location_of(body)
    if not _NAME.fullmatch(name):
        raise ArmError(
            400,
            "InvalidResourceName",
            f"The registry name '{name}' is invalid. It must be 5 to 50 letters and digits.",
        )
    sku, properties = _sku(body), _settable(body)
    try:
        known = arm.registry(params)
    except ArmError:
        login_server = f"{name.lower()}.azurecr.io"
        registry = Registry(
            params["s"],
            params["g"],
            name,
            location,
            login_server,
            sku,
            properties,
            body.get("tags") or {},
            azure_time(arm.clock.now()),
        )
    else:
        known.sku, known.properties = sku, properties
        known.tags = body.get("tags") or {}
        return JSONResponse(_wire(known))
    try:
        arm.state.add(registry)
    except ValueError as error:
        message = f"The registry DNS name {login_server} is already in use."
        raise ArmError(409, "AlreadyInUse", message) from error
    headers = begun(arm, request, PROVIDER_NAME, registry.location)
    return JSONResponse(_wire(registry, "Creating"), 201, headers)


def _patch(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    registry = arm.registry(params)
    properties = _settable(body)
    if "sku" in body:
        registry.sku = _sku(body)
    if "tags" in body:
        registry.tags = body["tags"] or {}
    registry.properties |= properties
    return JSONResponse(_wire(registry))


def _delete(arm: Arm, request: Request, params: dict[str, str], __: Json) -> Response:
    try:
        registry = arm.registry(params)
    except ArmError:
        return Response(status_code=204)
    arm.delete_registry(registry)
    headers = begun(arm, request, PROVIDER_NAME, registry.location, result=True)
    return Response(status_code=202, headers=headers)


@filtered
def _list(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    group = params.get("g")
    found = [
        _wire(registry)
        for registry in arm.state.registries()
        if registry.subscription_id.lower() == params["s"].lower()
        and (group is None or registry.resource_group.lower() == group.lower())
        and arm.may(request, f"{REGISTRY_TYPE}/read", registry.id)
    ]
    return paging.listed(arm, request, found)


def _credentials(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    registry = arm.registry(params)
    if not registry.admin_enabled:
        raise ArmError(
            400,
            "UnAuthorizedForCredentialOperations",
            "Cannot perform credential operations for"
            f" {registry.id} as admin user is disabled. Kindly enable admin user as per docs:"
            " https://docs.microsoft.com/en-us/azure/container-registry"
            "/container-registry-authentication#admin-account",
        )
    passwords = [{"name": "password", "value": registry.admin_password}]
    return JSONResponse({"username": registry.name, "passwords": passwords})


def _renew(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    arm.registry(params).admin_password = secrets.token_urlsafe(24)
    return _credentials(arm, request, params, body)


def _available(arm: Arm, _: Request, __: dict[str, str], body: Json) -> Response:
    name = str(body.get("name") or "")
    if not _NAME.fullmatch(name):
        wrong = {"nameAvailable": False, "reason": "Invalid"}
        return JSONResponse({**wrong, "message": f"The registry name {name} is invalid."})
    if arm.state.by_host(f"{name}.azurecr.io"):
        wrong = {"nameAvailable": False, "reason": "AlreadyExists"}
        return JSONResponse({**wrong, "message": f"The registry {name} is already in use."})
    return JSONResponse({"nameAvailable": True})


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        rf"{SUBSCRIPTION}{PROVIDER}/checkNameAvailability",
        versions.REGISTRIES,
        _available,
        schemas.NAME,
    ),
    Route("GET", rf"{SUBSCRIPTION}{PROVIDER}/registries", versions.REGISTRIES, _list),
    Route("GET", rf"{GROUP}{PROVIDER}/registries", versions.REGISTRIES, _list),
    Route("GET", REGISTRY, versions.REGISTRIES, _get),
    Route("PUT", REGISTRY, versions.REGISTRIES, _put, schemas.REGISTRY),
    Route("PATCH", REGISTRY, versions.REGISTRIES, _patch, schemas.REGISTRY),
    Route("DELETE", REGISTRY, versions.REGISTRIES, _delete),
    Route("POST", rf"{REGISTRY}/listCredentials", versions.REGISTRIES, _credentials),
    Route("POST", rf"{REGISTRY}/regenerateCredential", versions.REGISTRIES, _renew, schemas.RENEW),
)
