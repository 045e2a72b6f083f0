"""The managed identity endpoint of App Service and Functions.

Source: learn.microsoft.com, "How to use managed identities for App Service", REST endpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from localcloud.clock import Clock
from localcloud.network import ASGIApp
from localcloud.tokens import Principal, Tokens

_LIFETIME = timedelta(hours=24)


def identity_app(
    tokens: Tokens,
    clock: Clock,
    system: Principal | None,
    user_assigned: Sequence[Principal],
    header: str,
) -> ASGIApp:
    """Return the endpoint.

    Args:
        tokens: Who issues.
        clock: Cloud time.
        system: The system-assigned identity, if there is one.
        user_assigned: The user-assigned identities, asked for by client id.
        header: The secret of X-IDENTITY-HEADER.
    """
    by_client_id = {principal.client_id: principal for principal in user_assigned}

    def token(request: Request) -> JSONResponse:
        query = request.query_params
        if request.headers.get("x-identity-header") != header:
            return JSONResponse({"statusCode": 403, "message": "wrong X-IDENTITY-HEADER"}, 403)
        if query.get("api-version") != "2019-08-01" or not query.get("resource"):
            return _bad("api-version=2019-08-01 and resource are needed")
        client_id = query.get("client_id")
        principal = by_client_id.get(client_id) if client_id else system
        if principal is None:
            return _bad(f"No User Assigned or Delegated Managed Identity found for {client_id}")
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
