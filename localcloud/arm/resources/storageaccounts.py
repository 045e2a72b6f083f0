"""Storage accounts.

Source of the shapes: Microsoft.Storage storageAccounts, the REST reference.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.access import filtered
from localcloud.arm.errors import ArmError
from localcloud.arm.identities import assigned, forget_identity
from localcloud.arm.kept import (
    GROUP,
    SUBSCRIPTION,
    group_id,
    group_of,
    location_of,
    missing,
    wire,
)
from localcloud.arm.model import Arm, Route
from localcloud.arm.schemas import storage as schemas
from localcloud.state import Json, Resource
from localcloud.storage.service import ACCOUNT_TYPE

_PROVIDER = r"/providers/Microsoft\.Storage/storageAccounts"
SERVICES = ("blob", "queue", "table")
ACCOUNT = rf"{GROUP}{_PROVIDER}/(?P<a>[^/]+)"
_NAME = re.compile(r"[a-z0-9]{3,24}")
# What the service says itself, whatever a client sends.
_READ_ONLY = frozenset({"primaryEndpoints", "provisioningState", "creationTime", "statusOfPrimary"})


def account_of(arm: Arm, params: dict[str, str]) -> Resource:
    """Return the account of a path.

    Raises:
        ArmError: There is none.
    """
    found = arm.state.resource(_id(params))
    if found is None:
        raise missing(ACCOUNT_TYPE, params["a"], params["g"])
    return found


def _id(params: dict[str, str]) -> str:
    return f"{group_id(params)}/providers/{ACCOUNT_TYPE}/{params['a']}"


def _put_account(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    group_of(arm, params)
    known = arm.state.resource(_id(params))
    if known is None and request.method == "PATCH":
        raise missing(ACCOUNT_TYPE, params["a"], params["g"])
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
    sku: Json = body.get("sku") or (known.more["sku"] if known else {})
    name = params["a"]
    endpoints = {service: f"https://{name}.{service}.core.windows.net/" for service in SERVICES}
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
    return JSONResponse(wire(account_of(arm, params)))


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
    return paging.listed(arm, request, seen)


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


ROUTES: tuple[Route, ...] = (
    Route("GET", rf"{SUBSCRIPTION}{_PROVIDER}", versions.STORAGE, _accounts),
    Route("GET", rf"{GROUP}{_PROVIDER}", versions.STORAGE, _accounts),
    Route("GET", ACCOUNT, versions.STORAGE, _get_account),
    Route("PUT", ACCOUNT, versions.STORAGE, _put_account, schemas.ACCOUNT),
    Route("PATCH", ACCOUNT, versions.STORAGE, _put_account, schemas.ACCOUNT),
    Route("DELETE", ACCOUNT, versions.STORAGE, _delete_account),
)
