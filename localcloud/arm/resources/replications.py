"""The geo-replicas of a registry.

Source of the shapes: the models of PyPI azure-mgmt-containerregistry 15.0; of the list with the
home region: hashicorp/terraform-provider-azurerm, which takes it out. No source tells the codes of
the errors.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.kept import location_of
from localcloud.arm.model import Arm, Route
from localcloud.arm.operations import begun
from localcloud.arm.resources.registries import PROVIDER_NAME, REGISTRY
from localcloud.arm.schemas import registries as schemas
from localcloud.state import Json, Registry, Replication, azure_time

_REPLICATION = rf"{REGISTRY}/replications/(?P<n>[^/]+)"


def _wire(registry: Registry, replication: Replication) -> Json:
    return {
        "id": f"{registry.id}/replications/{replication.name}",
        "name": replication.name,
        "type": "Microsoft.ContainerRegistry/registries/replications",
        "location": replication.location,
        "tags": replication.tags,
        "properties": replication.properties,
    }


def _made(arm: Arm, name: str, location: str, body: Json) -> Replication:
    asked = body.get("properties") or {}
    enabled = asked.get("regionEndpointEnabled")
    properties = {
        "provisioningState": "Succeeded",
        "status": {"displayStatus": "Ready", "timestamp": azure_time(arm.clock.now())},
        "regionEndpointEnabled": True if enabled is None else enabled,
        "zoneRedundancy": asked.get("zoneRedundancy") or "Disabled",
    }
    return Replication(name, location, properties, body.get("tags") or {})


def _home(arm: Arm, registry: Registry) -> Replication:
    return _made(arm, _region(registry.location), _region(registry.location), {})


def _region(location: str) -> str:
    return "".join(location.split()).lower()


def _find(arm: Arm, params: dict[str, str]) -> tuple[Registry, Replication]:
    registry = arm.registry(params)
    found = registry.replications.get(params["n"].lower())
    if found is None:
        raise not_found(f"{registry.id}/replications/{params['n']}")
    return registry, found


def _get(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    registry = arm.registry(params)
    home = _home(arm, registry)
    if registry.sku == "Premium" and params["n"].lower() == home.name:
        return JSONResponse(_wire(registry, home))
    with arm.state.lock:
        return JSONResponse(_wire(*_find(arm, params)))


def _put(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    registry = arm.registry(params)
    name, location = params["n"], location_of(body)
    if registry.sku != "Premium":
        message = f"Replications are not supported for the SKU {registry.sku}; it must be Premium."
        raise ArmError(400, "FeatureNotSupported", message)
    with arm.state.lock:
        others = {r.location for r in registry.replications.values() if r.name != name}
        if location in {_region(registry.location), *others}:
            raise ArmError(409, "Conflict", f"There is a replication in {location} already.")
        known = registry.replications.get(name.lower())
        if known is not None and known.location != location:
            raise ArmError(409, "InvalidResourceLocation", f"{name} is in {known.location}.")
        made = _made(arm, known.name if known else name, location, body)
        registry.replications[name.lower()] = made
    if known is not None:
        return JSONResponse(_wire(registry, made))
    wire = _wire(registry, made)
    wire["properties"] = {**wire["properties"], "provisioningState": "Creating"}
    return JSONResponse(wire, 201, begun(arm, request, PROVIDER_NAME, location))


def _patch(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    with arm.state.lock:
        registry, replication = _find(arm, params)
        enabled = (body.get("properties") or {}).get("regionEndpointEnabled")
        if enabled is not None:
            replication.properties["regionEndpointEnabled"] = enabled
        if body.get("tags") is not None:
            replication.tags = body["tags"]
        return JSONResponse(_wire(registry, replication))


def _delete(arm: Arm, request: Request, params: dict[str, str], __: Json) -> Response:
    registry = arm.registry(params)
    if params["n"].lower() == _region(registry.location):
        raise ArmError(400, "InvalidRequest", "The home region's replication cannot be deleted.")
    with arm.state.lock:
        known = registry.replications.pop(params["n"].lower(), None)
    if known is None:
        return Response(status_code=204)
    headers = begun(arm, request, PROVIDER_NAME, known.location, result=True)
    return Response(status_code=202, headers=headers)


def _list(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    registry = arm.registry(params)
    with arm.state.lock:
        home = [_home(arm, registry)] if registry.sku == "Premium" else []
        found = [_wire(registry, item) for item in (*home, *registry.replications.values())]
    return paging.listed(arm, request, found)


ROUTES: tuple[Route, ...] = (
    Route("GET", rf"{REGISTRY}/replications", versions.REGISTRIES, _list),
    Route("GET", _REPLICATION, versions.REGISTRIES, _get),
    Route("PUT", _REPLICATION, versions.REGISTRIES, _put, schemas.REPLICATION),
    Route("PATCH", _REPLICATION, versions.REGISTRIES, _patch, schemas.REPLICATION),
    Route("DELETE", _REPLICATION, versions.REGISTRIES, _delete),
)
