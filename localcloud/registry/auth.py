"""ACR's tokens: a refresh token for who you are, an access token for what you may do.

Source: Azure/acr, docs/AAD-OAuth.md; the distribution specification's token authentication.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.registry.store import RegistryError
from localcloud.state import Registry
from localcloud.tokens import InvalidToken, Tokens

TOKEN_USER = "00000000-0000-0000-0000-000000000000"
"""The user name that goes with a refresh token as password."""

_AUDIENCES = (
    "https://containerregistry.azure.net",
    "https://management.azure.com",
    "https://management.core.windows.net",
)
_REFRESH = timedelta(hours=3)
_ACCESS = timedelta(minutes=75)


class Unauthorized(Exception):
    """The request needs a token for `scope`."""

    def __init__(self, scope: str, error: str | None = None) -> None:
        super().__init__(scope)
        self.scope = scope
        self.error = error


class Auth:
    """Issues and checks a registry's tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def refresh_token(self, registry: Registry, who: str) -> str:
        """Return a refresh token of `who`: usable as password of TOKEN_USER."""
        claims = {"aud": registry.login_server, "grant_type": "refresh_token", "sub": who}
        return self._tokens.sign(claims, _REFRESH)

    def challenge(self, registry: Registry, refused: Unauthorized) -> Response:
        """Answer 401 as ACR does."""
        host = registry.login_server
        header = f'Bearer realm="https://{host}/oauth2/token",service="{host}"'
        if refused.scope:
            header += f',scope="{refused.scope}"'
        if refused.error:
            header += f',error="{refused.error}"'
        detail = {
            "code": "UNAUTHORIZED",
            "message": "authentication required, visit https://aka.ms/acr/authorization for more"
            " information.",
        }
        return JSONResponse({"errors": [detail]}, 401, {"WWW-Authenticate": header})

    def require(self, request: Request, registry: Registry, scope: str) -> None:
        """Let a request pass that holds `scope`, for example `repository:node:pull`.

        Raises:
            Unauthorized: It does not.
        """
        kind, _, credentials = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic" and self._basic(registry, credentials) is not None:
            return
        if kind.lower() != "bearer":
            raise Unauthorized(scope)
        try:
            claims = self._tokens.claims(credentials)
        except InvalidToken as error:
            raise Unauthorized(scope, "invalid_token") from error
        if claims.get("aud") != registry.login_server or claims.get("grant_type") != "access_token":
            raise Unauthorized(scope, "invalid_token")
        if scope and not _covers(claims.get("access", []), scope):
            raise Unauthorized(scope, "insufficient_scope")

    def accepts(self, registry: Registry, user: str, password: str) -> bool:
        """Tell whether a user and a password open a registry."""
        return self._password(registry, user, password) is not None

    def exchange(self, registry: Registry, form: dict[str, str]) -> Response:
        """POST /oauth2/exchange: an Entra token becomes a refresh token of this registry."""
        if form.get("service", "").lower() != registry.login_server.lower():
            raise RegistryError(400, "BAD_REQUEST", "service is not this registry")
        try:
            principal = self._tokens.check(form.get("access_token", ""), _AUDIENCES)
        except InvalidToken as error:
            raise RegistryError(401, "UNAUTHORIZED", f"access_token: {error}") from error
        return JSONResponse({"refresh_token": self.refresh_token(registry, principal.object_id)})

    def token(self, request: Request, registry: Registry, form: dict[str, str]) -> Response:
        """GET or POST /oauth2/token: an access token for the scopes that are asked for."""
        kind, _, credentials = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            who = self._basic(registry, credentials)
        elif form.get("grant_type") == "password":
            who = self._password(registry, form.get("username", ""), form.get("password", ""))
        else:
            who = self._refresh(registry, form.get("refresh_token", ""))
        if who is None:
            raise RegistryError(401, "UNAUTHORIZED", "authentication required")
        scopes = [*request.query_params.getlist("scope"), form.get("scope", "")]
        access = [_entry(scope) for text in scopes for scope in text.split() if scope]
        claims = {
            "aud": registry.login_server,
            "grant_type": "access_token",
            "sub": who,
            "access": access,
        }
        token = self._tokens.sign(claims, _ACCESS)
        return JSONResponse({"access_token": token, "token": token, "expires_in": 4500})

    def _basic(self, registry: Registry, credentials: str) -> str | None:
        try:
            user, _, password = base64.b64decode(credentials).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return self._password(registry, user, password)

    def _password(self, registry: Registry, user: str, password: str) -> str | None:
        if user == TOKEN_USER:
            return self._refresh(registry, password)
        known = user.lower() == registry.name.lower()
        matches = secrets.compare_digest(password.encode(), registry.admin_password.encode())
        return user if known and matches else None

    def _refresh(self, registry: Registry, token: str) -> str | None:
        try:
            claims = self._tokens.claims(token)
        except InvalidToken:
            return None
        mine = claims.get("aud") == registry.login_server
        return str(claims["sub"]) if mine and claims.get("grant_type") == "refresh_token" else None


def _entry(scope: str) -> dict[str, Any]:
    # A repository may hold a colon only before its actions, so split from both ends.
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}


def _covers(access: list[dict[str, Any]], scope: str) -> bool:
    wanted = _entry(scope)
    granted: set[str] = set()
    for entry in access:
        if (entry["type"], entry["name"]) == (wanted["type"], wanted["name"]):
            granted.update(entry["actions"])
    return "*" in granted or granted.issuperset(wanted["actions"])
