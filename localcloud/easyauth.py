"""App Service authentication ("Easy Auth") before a function app, as far as Entra goes.

A browser would be sent to Entra's page and come back with a cookie; there is no such page here, so
whoever asks shows a bearer token for the app registration, which App Service takes as well.

Source: learn.microsoft.com, "Authentication and authorization in Azure App Service" (what is done
with requests), "Work with user identities" (the header), and the REST reference of
`authsettingsV2`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from localcloud.state import Json
from localcloud.tokens import InvalidToken, Tokens

_OURS = ("x-ms-client-principal", "x-ms-token-")
_LOGIN = "/.auth/login/aad"


def let_in(tokens: Tokens, settings: Json, request: Request) -> dict[str, str] | Response:
    """Return the headers of a request as the app gets them, or what is answered instead.

    Args:
        tokens: Entra.
        settings: The site's `authsettingsV2`; empty if there is none.
        request: What was asked.
    """
    headers = dict(request.headers)
    if not _of(settings, "platform").get("enabled"):
        return headers
    # Nobody outside says who they are.
    headers = {name: value for name, value in headers.items() if not name.startswith(_OURS)}
    kind, _, token = headers.pop("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        return _nobody(settings, request, headers)
    entra = _of(_of(settings, "identityProviders"), "azureActiveDirectory")
    client = str(_of(entra, "registration").get("clientId"))
    validation = _of(entra, "validation")
    try:
        claims = tokens.claims(token)
    except InvalidToken:
        return Response(status_code=HTTPStatus.UNAUTHORIZED)
    if claims.get("aud") not in (client, *(validation.get("allowedAudiences") or ())):
        return Response(status_code=HTTPStatus.UNAUTHORIZED)
    allowed = _of(validation, "defaultAuthorizationPolicy").get("allowedApplications")
    if allowed and claims.get("appid") not in allowed:
        return Response(status_code=HTTPStatus.FORBIDDEN)
    return {**headers, **_told(claims)}


def _nobody(settings: Json, request: Request, headers: dict[str, str]) -> dict[str, str] | Response:
    rules = _of(settings, "globalValidation")
    if not rules.get("requireAuthentication"):
        return headers
    html = "text/html" in request.headers.get("accept", "")
    if rules.get("unauthenticatedClientAction") == "RedirectToLoginPage" and html:
        return RedirectResponse(_LOGIN, HTTPStatus.FOUND)
    return PlainTextResponse("You do not have permission to view this page.", 401)


def _told(claims: Mapping[str, object]) -> dict[str, str]:
    """Return the headers that tell an app who is signed in."""
    each = [
        {"typ": name, "val": str(value)}
        for name, given in claims.items()
        for value in (given if isinstance(given, list) else [given])
    ]
    principal = {"auth_typ": "aad", "name_typ": "name", "role_typ": "roles", "claims": each}
    return {
        "x-ms-client-principal": base64.b64encode(json.dumps(principal).encode()).decode(),
        "x-ms-client-principal-id": str(claims.get("oid", "")),
        "x-ms-client-principal-idp": "aad",
        "x-ms-client-principal-name": str(claims.get("preferred_username", "")),
    }


def _of(settings: Json, name: str) -> Json:
    found = settings.get(name)
    return found if isinstance(found, dict) else {}
