"""The managed identity endpoint of App Service and Functions.

Source: learn.microsoft.com, "How to use managed identities for App Service", REST endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from localcloud.clock import Clock
from localcloud.directory import Principal
from localcloud.network import ASGIApp
from localcloud.switches import AtLeast
from localcloud.tokens import Tokens

_LIFETIME = timedelta(hours=24)
# App Service's words, as users report them (Azure/azure-sdk-for-net and others).
_UNKNOWN = (
    "No User Assigned or Delegated Managed Identity found for specified"
    " ClientId/ResourceId/PrincipalId."
)


@dataclass(frozen=True, slots=True)
class Identities:
    """The identities that one resource may ask tokens for.

    Attributes:
        system: The system-assigned one, if there is one.
        user_assigned: The user-assigned ones, asked for by client id, object id or resource id.
    """

    system: Principal | None
    user_assigned: tuple[Principal, ...] = ()

    def find(self, query: Mapping[str, str]) -> Principal | None:
        """Return whom a request asks for."""
        for name, key in (
            ("client_id", "client_id"),
            ("principal_id", "object_id"),
            ("object_id", "object_id"),
            ("mi_res_id", "resource_id"),
            ("msi_res_id", "resource_id"),
        ):
            if wanted := query.get(name):
                known = [p for p in self.user_assigned if getattr(p, key).lower() == wanted.lower()]
                return known[0] if known else None
        return self.system


@dataclass(slots=True)
class Behaviour:
    """How the endpoint is today.

    Attributes:
        status: What it answers instead of tokens; null gives tokens.
    """

    status: Annotated[int, AtLeast(400)] | None = None


def identity_app(
    tokens: Tokens,
    clock: Clock,
    resources: Mapping[str, Identities],
    behaviour: Behaviour | None = None,
) -> ASGIApp:
    """Return the endpoint.

    Args:
        tokens: Who issues.
        clock: Cloud time.
        resources: What each resource may ask for, by its secret of X-IDENTITY-HEADER.
        behaviour: How it is today.
    """
    today = behaviour or Behaviour()

    def token(request: Request) -> JSONResponse:
        if today.status is not None:
            message = "An unexpected error occured while fetching the AAD Token."
            return JSONResponse({"statusCode": today.status, "message": message}, today.status)
        query = request.query_params
        resource_of = resources.get(request.headers.get("x-identity-header", ""))
        if resource_of is None:
            return JSONResponse({"statusCode": 403, "message": "wrong X-IDENTITY-HEADER"}, 403)
        if query.get("api-version") != "2019-08-01" or not query.get("resource"):
            return _bad("api-version=2019-08-01 and resource are needed")
        principal = resource_of.find(query)
        if principal is None:
            return _bad(_UNKNOWN)
        resource = query["resource"]
        return JSONResponse(
            {
                "access_token": tokens.issue(principal, resource, _LIFETIME),
                "client_id": principal.client_id,
                "expires_on": str(int((clock.now() + _LIFETIME).timestamp())),
                "resource": resource,
                "token_type": "Bearer",
            }
        )

    return Starlette(routes=[Route("/msi/token", token)])


def _bad(message: str) -> JSONResponse:
    return JSONResponse({"statusCode": 400, "message": message}, 400)
