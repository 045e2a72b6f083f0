"""Storage accounts, and the containers, queues and tables that a template makes in them.

Source of the shapes: Microsoft.Storage storageAccounts, the REST reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.access import filtered
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.identities import assigned, forget_identity
from localcloud.arm.resources import ANY, GROUP, SUBSCRIPTION, group_of, location_of, wire
from localcloud.state import Json, Resource
from localcloud.storage.service import ACCOUNT_TYPE

if TYPE_CHECKING:
    from localcloud.arm.app import Arm, Handler

_PROVIDER = r"/providers/Microsoft\.Storage/storageAccounts"
_ACCOUNT = rf"{GROUP}{_PROVIDER}/(?P<a>[^/]+)"
_SERVICE = rf"{_ACCOUNT}/(?P<service>blob|queue|table)Services/default"
_CHILD = rf"{_SERVICE}/(?P<kind>containers|queues|tables)/(?P<c>[^/]+)"
_NAME = re.compile(r"[a-z0-9]{3,24}")
_KINDS = {"blob": "containers", "queue": "queues", "table": "tables"}
# What the service says itself, whatever a client sends.
_READ_ONLY = frozenset({"primaryEndpoints", "provisioningState", "creationTime", "statusOfPrimary"})


def _account(arm: Arm, params: dict[str, str]) -> Resource:
    found = arm.state.resource(_id(params))
    if found is None:
        raise ArmError(
            404,
            "ResourceNotFound",
            f"The Resource '{ACCOUNT_TYPE}/{params['a']}' under resource group '{params['g']}' was"
            " not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
        )
    return found


def _id(params: dict[str, str]) -> str:
    group = f"/subscriptions/{params['s']}/resourceGroups/{params['g']}"
    return f"{group}/providers/{ACCOUNT_TYPE}/{params['a']}"


def _put_account(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    group_of(arm, params)
    known = arm.state.resource(_id(params))
    if not _NAME.fullmatch(params["a"]):
        raise ArmError(
            400,
            "AccountNameInvalid",
            f"{params['a']} is not a valid storage account name. Storage account name must be"
            " between 3 and 24 characters in length and use numbers and lower-case letters only.",
        )
    if known is None and arm.storage.account(params["a"]) is not None:
        raise ArmError(
            409,
            "StorageAccountAlreadyTaken",
            f"The storage account named {params['a']} is already taken.",
        )
    given = {k: v for k, v in (body.get("properties") or {}).items() if k not in _READ_ONLY}
    sku = body.get("sku") or (known.more["sku"] if known else None)
    if not sku:
        raise ArmError(400, "InvalidRequestContent", "sku.name is missing: use Standard_LRS.")
    name = params["a"]
    endpoints = {service: f"https://{name}.{service}.core.windows.net/" for service in _KINDS}
    account = Resource(
        known.id if known else _id(params),
        ACCOUNT_TYPE,
        known.location if known else location_of(body),
        {
            **(known.properties if known else {"creationTime": arm.now()}),
            **given,
            "primaryEndpoints": endpoints,
            "provisioningState": "Succeeded",
        },
        body.get("tags") or (known.tags if known else {}),
        {
            "kind": body.get("kind") or (known.more["kind"] if known else "StorageV2"),
            "sku": {"name": sku["name"], "tier": str(sku["name"]).partition("_")[0]},
            **assigned(arm, known, _id(params), body),
        },
    )
    arm.state.put(account)
    return JSONResponse(wire(account))


def _get_account(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(wire(_account(arm, params)))


@filtered
def _accounts(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    scope = f"/subscriptions/{params['s']}"
    if "g" in params:
        scope += f"/resourceGroups/{params['g']}"
    seen = [
        wire(account)
        for account in arm.state.resources(ACCOUNT_TYPE)
        if account.id.lower().startswith(f"{scope}/".lower())
        and arm.may(request, f"{ACCOUNT_TYPE}/read", account.id)
    ]
    return JSONResponse({"value": seen})


def _delete_account(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    known = arm.state.resource(_id(params))
    if known is None:
        return Response(status_code=204)
    forget_account(arm, known)
    return Response(status_code=200)


def forget_account(arm: Arm, account: Resource) -> None:
    """Delete an account with what it holds."""
    for child in arm.state.under(account.id):
        arm.state.remove(child.id)
    arm.storage.forget(account)
    forget_identity(arm, account)
    arm.state.remove(account.id)
    arm.roles.forget_scope(account.id)


def _service_id(account: Resource, params: dict[str, str]) -> tuple[str, str]:
    name = f"{params['service'].lower()}Services"
    return f"{account.id}/{name}/default", f"{ACCOUNT_TYPE}/{name}"


def _put_service(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    place, kind = _service_id(_account(arm, params), params)
    service = Resource(place, kind, "", body.get("properties") or {}, {})
    arm.state.put(service)
    return JSONResponse(_brief(service))


def _get_service(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    place, kind = _service_id(_account(arm, params), params)
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


_DONE = frozenset({200, 201, 202, 204, 409})  # 409: it was there before


def _put_child(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    account = _account(arm, params)
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
    return JSONResponse(_brief(child), 201 if new else 200)


def _get_child(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    place, kind = _child_id(_account(arm, params), params)
    found = arm.state.resource(place)
    if found is None:
        raise not_found(f"{kind}/{params['c']}")
    return JSONResponse(_brief(found))


def _list_children(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    account = _account(arm, params)
    kind = _child_id(account, {**params, "c": "any"})[1]
    seen = [_brief(c) for c in arm.state.under(account.id) if c.type.lower() == kind.lower()]
    return JSONResponse({"value": seen})


def _delete_child(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    account = _account(arm, params)
    place = _child_id(account, params)[0]
    if not arm.state.remove(place):
        return Response(status_code=204)
    service, target = _target(params)
    arm.storage.manage(account, service, "DELETE", target)
    arm.roles.forget_scope(place)
    return Response(status_code=200)


ROUTES: tuple[tuple[str, str, frozenset[str], Handler], ...] = (
    ("GET", rf"{SUBSCRIPTION}{_PROVIDER}", ANY, _accounts),
    ("GET", rf"{GROUP}{_PROVIDER}", ANY, _accounts),
    ("GET", _ACCOUNT, ANY, _get_account),
    ("PUT", _ACCOUNT, ANY, _put_account),
    ("PATCH", _ACCOUNT, ANY, _put_account),
    ("DELETE", _ACCOUNT, ANY, _delete_account),
    ("GET", _SERVICE, ANY, _get_service),
    ("PUT", _SERVICE, ANY, _put_service),
    ("GET", rf"{_SERVICE}/(?P<kind>containers|queues|tables)", ANY, _list_children),
    ("GET", _CHILD, ANY, _get_child),
    ("PUT", _CHILD, ANY, _put_child),
    ("DELETE", _CHILD, ANY, _delete_child),
)
