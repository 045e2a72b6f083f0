"""Microsoft Graph, as far as role assignments need it: who is behind an id; and registrations.

Source: Microsoft Graph v1.0, "List servicePrincipals" and "directoryObject: getByIds".
"""

from __future__ import annotations

import re

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.directory import Directory, Principal
from localcloud.network import ASGIApp
from localcloud.registrations import Registrations
from localcloud.state import Json
from localcloud.tokens import ExpiredToken, InvalidToken, Tokens, WrongAudience

HOST = "graph.microsoft.com"

_AUDIENCES = (f"https://{HOST}",)
_NAMED = re.compile(r"servicePrincipalNames/any\(c:\s*c eq '([^']*)'\)", re.IGNORECASE)
_EQUALS = re.compile(r"(userPrincipalName|displayName|appId) eq '([^']*)'", re.IGNORECASE)


def graph_app(directory: Directory, tokens: Tokens, registrations: Registrations) -> ASGIApp:
    """Return the app behind https://graph.microsoft.com."""

    def refused(request: Request) -> Response | None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            return _error(401, "InvalidAuthenticationToken", "Access token is empty.")
        try:
            tokens.check(token, _AUDIENCES)
        except InvalidToken as error:
            return _error(401, "InvalidAuthenticationToken", _reason(error))
        return None

    def search(request: Request) -> Response:
        if (answer := refused(request)) is not None:
            return answer
        kind = "User" if request.url.path.endswith("users") else "ServicePrincipal"
        found = [p for p in directory.principals() if p.kind == kind]
        text = request.query_params.get("$filter", "")
        more: list[Json] = []
        if match := _NAMED.fullmatch(text):
            wanted = match[1].lower()
            more = registrations.named(wanted) if kind == "ServicePrincipal" else []
            found = [p for p in found if wanted in (p.client_id.lower(), p.resource_id.lower())]
        elif match := _EQUALS.fullmatch(text):
            key = {"appid": "client_id"}.get(match[1].lower(), "name")
            found = [p for p in found if getattr(p, key).lower() == match[2].lower()]
        elif text:
            return _error(400, "Request_UnsupportedQuery", f"Unsupported filter {text}.")
        return JSONResponse({"value": [*(_wire(p) for p in found), *more]})

    async def by_ids(request: Request) -> Response:
        if (answer := refused(request)) is not None:
            return answer
        ids = (await request.json()).get("ids") or []
        found = [p for i in ids if (p := directory.by_object_id(str(i))) is not None]
        return JSONResponse({"value": [_wire(p) for p in found]})

    def one(request: Request) -> Response:
        if (answer := refused(request)) is not None:
            return answer
        key = request.path_params["id"]
        if (application := registrations.principals.get(key)) is not None:
            return JSONResponse(application)
        found = directory.by_object_id(key)
        if found is None:
            return _error(404, "Request_ResourceNotFound", f"Resource '{key}' does not exist.")
        return JSONResponse(_wire(found))

    return Starlette(
        routes=[
            *registrations.routes(refused),
            Route("/v1.0/me", _me),
            Route("/v1.0/servicePrincipals", search),
            Route("/v1.0/users", search),
            Route("/v1.0/directoryObjects/getByIds", by_ids, methods=["POST"]),
            Route("/v1.0/servicePrincipals/{id}", one),
            Route("/v1.0/directoryObjects/{id}", one),
        ]
    )


def _me(_: Request) -> Response:
    # Everybody here is an identity, and nobody a person who signed in.
    text = "/me request is only valid with delegated authentication flow."
    return _error(400, "BadRequest", text)


def _reason(error: InvalidToken) -> str:
    failed = "Access token validation failure."
    if isinstance(error, ExpiredToken):
        return "Lifetime validation failed, the token is expired."
    if isinstance(error, WrongAudience):
        return f"{failed} Invalid audience."
    return failed


def _wire(principal: Principal) -> Json:
    if principal.kind == "User":
        return {
            "@odata.type": "#microsoft.graph.user",
            "id": principal.object_id,
            "displayName": principal.name,
            "userPrincipalName": principal.name,
        }
    return {
        "@odata.type": "#microsoft.graph.servicePrincipal",
        "id": principal.object_id,
        "appId": principal.client_id,
        "displayName": principal.name,
        "servicePrincipalType": "ManagedIdentity",
        "servicePrincipalNames": [principal.client_id, principal.resource_id],
        "alternativeNames": ["isExplicit=False", principal.resource_id],
    }


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status)
