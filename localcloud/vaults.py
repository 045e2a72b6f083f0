"""Key Vault's secrets: given to whoever has the token and the role.

Source: Key Vault REST reference, "Get Secret" and "Authentication, requests and responses".
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.network import ASGIApp
from localcloud.roles import Roles
from localcloud.state import Resource, State
from localcloud.tokens import InvalidToken, Tokens

HOST = "*.vault.azure.net"

_AUDIENCE = "https://vault.azure.net"
_READ = "Microsoft.KeyVault/vaults/secrets/getSecret/action"
_KIND = "Microsoft.KeyVault/vaults"
_VERSIONS = frozenset({"7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01"})


class Vaults:
    """Every key vault's secrets.

    Args:
        state: Which vaults there are.
        tokens: Who checks tokens.
        roles: Who may read.

    Attributes:
        available: Whether the vaults answer.
        answer: What they answer instead, whoever asks; "" for the truth.
        asked: How often a secret was asked for.
    """

    def __init__(self, state: State, tokens: Tokens, roles: Roles) -> None:
        self._state = state
        self._tokens = tokens
        self._roles = roles
        self._secrets: dict[tuple[str, str], str] = {}
        self.available = True
        self.answer = ""
        self.asked = 0

    def keep(self, vault: str, name: str, value: str) -> str:
        """Keep a secret in a vault, which is made if it is not there; return its address.

        Args:
            vault: The vault's resource id.
            name: The secret's name.
            value: The secret.
        """
        if self._state.resource(vault) is None:
            self._state.put(Resource(vault, _KIND, "westeurope", {}, {}))
        self._secrets[(vault.lower(), name.lower())] = value
        return f"https://{vault.rpartition('/')[2]}.vault.azure.net/secrets/{name}"

    @property
    def app(self) -> ASGIApp:
        """The app behind HOST."""
        return Starlette(
            routes=[
                Route("/secrets/{name}", self._get),
                Route("/secrets/{name}/{version}", self._get),
            ]
        )

    def _get(self, request: Request) -> Response:
        self.asked += 1
        if self.answer:
            return Response(self.answer)
        if not self.available:
            return _refused(503, "ServiceUnavailable", "The service is unavailable.")
        if request.query_params.get("api-version") not in _VERSIONS:
            return _refused(400, "BadParameter", "api-version is not supported.")
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            principal = self._tokens.check(token if kind == "Bearer" else "", (_AUDIENCE,))
        except InvalidToken as error:
            return _refused(401, "Unauthorized", f"AKV10000: {error}")
        host = (request.url.hostname or "").partition(".")[0]
        found = [v for v in self._state.resources(_KIND) if v.name.lower() == host.lower()]
        name = request.path_params["name"]
        if not found:
            return _refused(404, "VaultNotFound", f"The vault {host} was not found.")
        (vault,) = found
        if not self._roles.allows(principal.object_id, _READ, vault.id, data=True):
            words = f"Caller is not authorized to perform action on resource. Action: '{_READ}'"
            return _refused(403, "Forbidden", words)
        value = self._secrets.get((vault.id.lower(), name.lower()))
        if value is None:
            words = f"A secret with (name/id) {name} was not found in this key vault."
            return _refused(404, "SecretNotFound", words)
        return JSONResponse({"value": value, "id": str(request.url.replace(query=""))})


def _refused(status: int, code: str, message: str) -> JSONResponse:
    headers = {"WWW-Authenticate": f'Bearer resource="{_AUDIENCE}"'} if status == 401 else None  # noqa: PLR2004 - HTTP's
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)
