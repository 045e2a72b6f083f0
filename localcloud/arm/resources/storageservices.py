"""The services of a storage account, and the containers, queues and tables of a template."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.kept import wire
from localcloud.arm.model import Arm, Route
from localcloud.arm.resources.storageaccounts import ACCOUNT, account_of
from localcloud.arm.schemas import storage as schemas
from localcloud.state import Json, Resource
from localcloud.storage.service import ACCOUNT_TYPE

_SERVICE = rf"{ACCOUNT}/(?P<service>blob|queue|table)Services/default"
_CHILD = rf"{_SERVICE}/(?P<kind>containers|queues|tables)/(?P<c>[^/]+)"
_KINDS = {"blob": "containers", "queue": "queues", "table": "tables"}
_DONE = frozenset({200, 201, 202, 204, 409})  # 409: it was there before


def _service_id(account: Resource, params: dict[str, str]) -> tuple[str, str]:
    name = f"{params['service'].lower()}Services"
    return f"{account.id}/{name}/default", f"{ACCOUNT_TYPE}/{name}"


def _put_service(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    place, kind = _service_id(account_of(arm, params), params)
    service = Resource(place, kind, "", body.get("properties") or {}, {})
    arm.state.put(service)
    return JSONResponse(_brief(service))


def _get_service(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    place, kind = _service_id(account_of(arm, params), params)
    # Every account has its services, whether somebody set them or not.
    return JSONResponse(_brief(arm.state.resource(place) or Resource(place, kind, "", {}, {})))


def _brief(resource: Resource) -> Json:
    told = wire(resource)
    del told["location"], told["tags"]
    return told


def _child_id(account: Resource, params: dict[str, str]) -> tuple[str, str]:
    service, kind = params["service"].lower(), params["kind"].lower()
    if _KINDS[service] != kind:
        raise ArmError(404, "InvalidResourceType", f"The {service} service has no {kind}.")
    place, type_ = _service_id(account, params)
    return f"{place}/{kind}/{params['c']}", f"{type_}/{kind}"


def _target(params: dict[str, str]) -> tuple[str, str]:
    service, name = params["service"].lower(), quote(params["c"])
    if service == "table":
        return service, f"/Tables('{name}')"
    kind = "?restype=container" if service == "blob" else ""
    return service, f"/{name}{kind}"


def _put_child(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    account = account_of(arm, params)
    place, kind = _child_id(account, params)
    service, target = _target(params)
    status = arm.storage.manage(account, service, "PUT", target)
    if status not in _DONE:
        raise ArmError(
            400,
            "InvalidResourceName",
            f"The storage service refused the name '{params['c']}' with {status}.",
        )
    child = Resource(place, kind, "", body.get("properties") or {}, {})
    new = arm.state.put(child)
    # Of a container alone it says that it is new.
    created = new and params["service"].lower() == "blob"
    return JSONResponse(_brief(child), 201 if created else 200)


def _get_child(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    place, kind = _child_id(account_of(arm, params), params)
    found = arm.state.resource(place)
    if found is None:
        raise not_found(f"{kind}/{params['c']}")
    return JSONResponse(_brief(found))


def _list_children(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    account = account_of(arm, params)
    kind = _child_id(account, {**params, "c": "any"})[1]
    seen = [_brief(c) for c in arm.state.under(account.id) if c.type.lower() == kind.lower()]
    return paging.listed(arm, request, seen)


def _delete_child(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    account = account_of(arm, params)
    place = _child_id(account, params)[0]
    if not arm.state.remove(place):
        return Response(status_code=204)
    service, target = _target(params)
    arm.storage.manage(account, service, "DELETE", target)
    arm.roles.forget_scope(place)
    return Response(status_code=200 if params["service"].lower() == "blob" else 204)


ROUTES: tuple[Route, ...] = (
    Route("GET", _SERVICE, versions.STORAGE, _get_service),
    Route("PUT", _SERVICE, versions.STORAGE, _put_service, schemas.SERVICE),
    Route(
        "GET", rf"{_SERVICE}/(?P<kind>containers|queues|tables)", versions.STORAGE, _list_children
    ),
    Route("GET", _CHILD, versions.STORAGE, _get_child),
    Route("PUT", _CHILD, versions.STORAGE, _put_child, schemas.CHILD),
    Route("DELETE", _CHILD, versions.STORAGE, _delete_child),
)
