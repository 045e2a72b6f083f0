"""ACR's tokens: a refresh token for who you are, an access token for what you may do.

Source: Azure/acr, docs/AAD-OAuth.md; the distribution specification's token authentication;
Azure's built-in roles for containers, for what each role may do; learn.microsoft.com, "Disable
authentication as ARM in Azure Container Registry", for whose tokens are taken.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.directory import Principal
from localcloud.registry.store import RegistryError
from localcloud.roles import Roles
from localcloud.state import Registry
from localcloud.tokens import InvalidToken, Tokens

TOKEN_USER = "00000000-0000-0000-0000-000000000000"
"""The user name that goes with a refresh token as password."""

_ISSUER = "Azure Container Registry"
_AUDIENCE = "https://containerregistry.azure.net"
# Tokens for ARM are good as well, unless the policy azureADAuthenticationAsArmPolicy says not.
_ARM_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")
_ACR = "Microsoft.ContainerRegistry/registries"
# What a scope of the registry's API needs: an action, or in an ABAC registry a data action.
_ACTIONS = {
    "pull": f"{_ACR}/pull/read",
    "push": f"{_ACR}/push/write",
    "delete": f"{_ACR}/artifacts/delete",
    "metadata_read": f"{_ACR}/pull/read",
    "metadata_write": f"{_ACR}/push/write",
    "catalog": f"{_ACR}/pull/read",
}
_DATA_ACTIONS = {
    "pull": f"{_ACR}/repositories/content/read",
    "push": f"{_ACR}/repositories/content/write",
    "delete": f"{_ACR}/repositories/content/delete",
    "metadata_read": f"{_ACR}/repositories/metadata/read",
    "metadata_write": f"{_ACR}/repositories/metadata/write",
    "catalog": f"{_ACR}/catalog/read",
}
_REFRESH = timedelta(hours=3)
_ACCESS = timedelta(minutes=75)


_REQUIRED = "authentication required, visit https://aka.ms/acr/authorization for more information."


@dataclass(frozen=True, slots=True)
class _Who:
    """Who a refresh token or a password is for; `everything` is above all roles."""

    name: str
    everything: bool = False


class Unauthorized(Exception):
    """The request needs a token for `scope`."""

    def __init__(self, scope: str, error: str | None = None) -> None:
        super().__init__(scope)
        self.scope = scope
        self.error = error


class Auth:
    """Issues and checks a registry's tokens."""

    def __init__(self, tokens: Tokens, roles: Roles) -> None:
        self._tokens = tokens
        self._roles = roles

    def refresh_token(self, registry: Registry, who: str, *, everything: bool = False) -> str:
        """Return a refresh token of `who`: usable as password of TOKEN_USER.

        Args:
            registry: For which registry.
            who: An object id of the directory; or anybody, with `everything`.
            everything: Whether all is allowed, whatever the roles say: ACR's own access.
        """
        claims = {"aud": registry.login_server, "grant_type": "refresh_token", "sub": who}
        return self._tokens.sign({**claims, "everything": everything}, _REFRESH, _ISSUER)

    def may(self, registry: Registry, principal: Principal, action: str) -> bool:
        """Tell whether a principal may `pull`, `push` or `delete` in a registry."""
        return self.allowed(registry, _Who(principal.object_id), action)

    def allowed(self, registry: Registry, who: _Who, action: str) -> bool:
        """Tell whether somebody may do what an action of the registry's API names.

        Args:
            registry: Where.
            who: Who.
            action: `pull`, `push`, `delete`, `metadata_read`, `metadata_write` or `catalog`.
        """
        if who.everything:
            return True
        needed = (_DATA_ACTIONS if registry.abac else _ACTIONS).get(action)
        if needed is None:
            return False
        return self._roles.allows(who.name, needed, registry.id, data=registry.abac)

    def challenge(self, registry: Registry, refused: Unauthorized) -> Response:
        """Answer 401 as ACR does."""
        host = registry.login_server
        header = f'Bearer realm="https://{host}/oauth2/token",service="{host}"'
        if refused.scope:
            header += f',scope="{refused.scope}"'
        if refused.error:
            header += f',error="{refused.error}"'
        detail = {"code": "UNAUTHORIZED", "message": _REQUIRED}
        return JSONResponse({"errors": [detail]}, 401, {"WWW-Authenticate": header})

    def require(self, request: Request, registry: Registry, scope: str) -> None:
        """Let a request pass that holds `scope`, for example `repository:node:pull`.

        Raises:
            Unauthorized: It does not.
        """
        kind, _, credentials = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            who = self._basic(registry, credentials)
            if who is not None and (not scope or self._holds(registry, who, scope)):
                return
        if kind.lower() != "bearer":
            raise Unauthorized(scope)
        try:
            claims = self._tokens.claims(credentials, _ISSUER)
        except InvalidToken as error:
            raise Unauthorized(scope, "invalid_token") from error
        if claims.get("aud") != registry.login_server or claims.get("grant_type") != "access_token":
            raise Unauthorized(scope, "invalid_token")
        if scope and not _covers(claims.get("access", []), scope):
            raise Unauthorized(scope, "insufficient_scope")

    def _holds(self, registry: Registry, who: _Who, scope: str) -> bool:
        return _covers([self._granted(registry, who, _entry(scope))], scope)

    def accepts(self, registry: Registry, user: str, password: str) -> bool:
        """Tell whether a user and a password open a registry."""
        return self._password(registry, user, password) is not None

    def exchange(self, registry: Registry, form: dict[str, str]) -> Response:
        """POST /oauth2/exchange: an Entra token becomes a refresh token of this registry.

        Who may do nothing at all here gets none.
        """
        if form.get("service", "").lower() != registry.login_server.lower():
            raise RegistryError(400, "BAD_REQUEST", "service is not this registry")
        try:
            audiences = (_AUDIENCE, *(_ARM_AUDIENCES if registry.takes_arm_tokens else ()))
            principal = self._tokens.check(form.get("access_token", ""), audiences)
        except InvalidToken as error:
            raise RegistryError(401, "UNAUTHORIZED", f"access_token: {error}") from error
        token = self.exchanged(registry, principal)
        if token is None:
            raise RegistryError(401, "UNAUTHORIZED", _REQUIRED)
        return JSONResponse({"refresh_token": token})

    def exchanged(self, registry: Registry, principal: Principal) -> str | None:
        """Return the refresh token that a principal gets; None if it may do nothing here."""
        who = _Who(principal.object_id)
        if not any(self.allowed(registry, who, action) for action in _ACTIONS):
            return None
        return self.refresh_token(registry, principal.object_id)

    def token(self, request: Request, registry: Registry, form: dict[str, str]) -> Response:
        """GET or POST /oauth2/token: an access token for what is asked for and allowed."""
        kind, _, credentials = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            who = self._basic(registry, credentials)
        elif form.get("grant_type") == "password":
            who = self._password(registry, form.get("username", ""), form.get("password", ""))
        else:
            who = self._refresh(registry, form.get("refresh_token", ""))
        if who is None:
            raise RegistryError(401, "UNAUTHORIZED", _REQUIRED)
        scopes = [*request.query_params.getlist("scope"), form.get("scope", "")]
        asked = [_entry(scope) for text in scopes for scope in text.split() if scope]
        claims = {
            "aud": registry.login_server,
            "grant_type": "access_token",
            "sub": who.name,
            "access": [self._granted(registry, who, entry) for entry in asked],
        }
        token = self._tokens.sign(claims, _ACCESS, _ISSUER)
        return JSONResponse({"access_token": token, "token": token, "expires_in": 4500})

    def _granted(self, registry: Registry, who: _Who, asked: dict[str, Any]) -> dict[str, Any]:
        """Return what of a scope is allowed; clients learn the rest when they try."""
        if asked["type"] == "registry":
            actions = asked["actions"] if self.allowed(registry, who, "catalog") else []
        else:
            wanted = asked["actions"]
            if "*" in wanted:
                wanted = [action for action in _ACTIONS if action != "catalog"]
            actions = [action for action in wanted if self.allowed(registry, who, action)]
        return {**asked, "actions": actions}

    def _basic(self, registry: Registry, credentials: str) -> _Who | None:
        try:
            user, _, password = base64.b64decode(credentials).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return self._password(registry, user, password)

    def _password(self, registry: Registry, user: str, password: str) -> _Who | None:
        if user == TOKEN_USER:
            return self._refresh(registry, password)
        known = registry.admin_enabled and user.lower() == registry.name.lower()
        matches = secrets.compare_digest(password.encode(), registry.admin_password.encode())
        return _Who(user, everything=True) if known and matches else None

    def _refresh(self, registry: Registry, token: str) -> _Who | None:
        try:
            claims = self._tokens.claims(token, _ISSUER)
        except InvalidToken:
            return None
        mine = claims.get("aud") == registry.login_server
        if not mine or claims.get("grant_type") != "refresh_token":
            return None
        return _Who(str(claims["sub"]), everything=bool(claims.get("everything")))


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
