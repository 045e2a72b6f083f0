"""The data plane of storage accounts: who asks, what for, and may they; Azurite does the rest.

Sources: learn.microsoft.com, "Authorize with Microsoft Entra ID" and "Common REST API error codes".
"""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from localcloud.clock import Clock
from localcloud.directory import TENANT_ID, Principal
from localcloud.network import ASGIApp, Network
from localcloud.roles import Roles
from localcloud.state import Resource, State, azure_time
from localcloud.storage.azurite import Azurite
from localcloud.storage.operations import Operation, UnknownOperation, is_data, operations
from localcloud.tokens import InvalidToken, Tokens

ACCOUNT_TYPE = "Microsoft.Storage/storageAccounts"
HOSTS = ("*.blob.core.windows.net", "*.queue.core.windows.net", "*.table.core.windows.net")

_HOP = frozenset(
    {b"host", b"authorization", b"connection", b"content-length", b"transfer-encoding"}
    | {b"accept-encoding", b"proxy-connection"}
)
_ANSWER_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True, slots=True)
class StorageOperation:
    """An operation that a storage account carried out.

    Attributes:
        principal_id: Who asked, by object id.
        account: The account's name.
        service: blob, queue or table.
        operation: What was done, and to what.
    """

    principal_id: str
    account: str
    service: str
    operation: Operation


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Storage:
    """Every storage account's blobs, queues and tables.

    Args:
        state: Which accounts there are.
        clock: Cloud time.
        tokens: Who checks tokens.
        roles: Who may do what.
        network: Whose CA signs Azurite's certificate.
        folder: For Azurite.
    """

    def __init__(
        self,
        state: State,
        clock: Clock,
        tokens: Tokens,
        roles: Roles,
        network: Network,
        folder: Path,
    ) -> None:
        self._state = state
        self._clock = clock
        self._tokens = tokens
        self._roles = roles
        self._network = network
        self._folder = folder
        self._lock = threading.Lock()
        self._azurite: Azurite | None = None
        self._names: dict[str, str] = {}  # of Azurite's accounts, by the resource id
        self._done: list[StorageOperation] = []
        self.app: ASGIApp = self._serve

    def operations(self) -> list[StorageOperation]:
        """Return what was done so far, oldest first."""
        with self._lock:
            return list(self._done)

    def account(self, name: str) -> Resource | None:
        """Return the account of a name; names are unique in Azure."""
        found = self._state.resources(ACCOUNT_TYPE)
        return next((a for a in found if a.name.lower() == name.lower()), None)

    def manage(self, account: Resource, service: str, method: str, target: str) -> int:
        """Do what ARM does to an account without its data plane's roles; return the status.

        Args:
            account: The account.
            service: blob, queue or table.
            method: The method.
            target: Path and query; a table is created by `PUT /Tables('name')`.
        """
        headers = [(b"x-ms-version", b"2023-11-03")]
        body = b""
        if service == "table" and method == "PUT":
            name = target.partition("'")[2].partition("'")[0]
            method, target, body = "POST", "/Tables", json.dumps({"TableName": name}).encode()
            headers.append((b"Content-Type", b"application/json"))
        if service == "table":
            headers.append((b"Accept", b"application/json;odata=nometadata"))
        return self._send(account, service, method, target.encode(), headers, body).status_code

    def forget(self, account: Resource) -> None:
        """Forget what a deleted account held."""
        with self._lock:
            self._names.pop(account.id.lower(), None)

    def stop(self) -> None:
        """End Azurite, with all that it holds."""
        with self._lock:
            if self._azurite is not None:
                self._azurite.stop()
                self._azurite = None

    def _send(
        self,
        account: Resource,
        service: str,
        method: str,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
    ) -> httpx.Response:
        with self._lock:
            if self._azurite is None:
                folder = self._folder / "azurite"
                certificate = self._network.issue(folder, "127.0.0.1")
                self._azurite = Azurite(folder, certificate, self._network.ca_bundle)
            azurite = self._azurite
            name = self._names.get(account.id.lower())
            if name is None:
                name = self._names[account.id.lower()] = azurite.take()
        # The requests of a batch are written with the account's own host.
        own = f"//{account.name}.{service}.".encode()
        if service == "table" and target.startswith(b"/$batch"):
            body = body.replace(own, f"//{name}.{service}.".encode())
        return azurite.send(name, service, method, target, headers, body)

    async def _serve(self, scope: object, receive: object, send: object) -> None:
        request = Request(scope, receive)  # type: ignore[arg-type]  # what ASGI hands over
        response = await self._answer(request)
        await response(scope, receive, send)  # type: ignore[arg-type]  # the same

    async def _answer(self, request: Request) -> Response:
        name, service, *_ = request.url.hostname.split(".") if request.url.hostname else ("", "")
        body = await request.body()
        try:
            return await run_in_threadpool(self._carry_out, request, name, service, body)
        except _Refused as error:
            return self._refusal(service, error)

    def _carry_out(self, request: Request, name: str, service: str, body: bytes) -> Response:
        account = self.account(name)
        if account is None:
            # In Azure there is no such name to resolve.
            raise _Refused(404, "ResourceNotFound", "The specified resource does not exist.")
        principal = self._authenticate(request, account)
        headers = {key.lower(): value for key, value in request.headers.items()}
        query = dict(request.query_params)
        try:
            found = operations(service, request.method, request.url.path, query, headers, body)
        except UnknownOperation as error:
            raise _Refused(400, "InvalidUri", f"The local cloud does not know {error}.") from error
        for operation in found:
            if not self.may(principal.object_id, account, operation):
                raise _Refused(
                    403,
                    "AuthorizationPermissionMismatch",
                    "This request is not authorized to perform this operation using this"
                    " permission.",
                )
        raw: bytes = request.scope["raw_path"]
        question: bytes = request.scope["query_string"]
        target = raw + (b"?" + question if question else b"")
        kept = [(key, value) for key, value in request.headers.raw if key.lower() not in _HOP]
        with self._lock:
            self._done += [
                StorageOperation(principal.object_id, account.name, service, operation)
                for operation in found
            ]
        answer = self._send(account, service, request.method, target, kept, body)
        response = Response(answer.content, answer.status_code)
        for key, value in answer.headers.multi_items():
            if key.lower() not in _ANSWER_HOP:
                response.headers.append(key, value)
        if request.method == "HEAD" and "content-length" in answer.headers:
            response.headers["content-length"] = answer.headers["content-length"]
        return response

    def _authenticate(self, request: Request, account: Resource) -> Principal:
        header = request.headers.get("authorization", "")
        kind, _, token = header.partition(" ")
        if kind.lower() in ("sharedkey", "sharedkeylite") or "sig" in request.query_params:
            # Also where keys are allowed: the local cloud gives nobody a key.
            raise _Refused(
                403,
                "KeyBasedAuthenticationNotPermitted"
                if account.properties.get("allowSharedKeyAccess") is False
                else "AuthenticationFailed",
                "Key based authentication is not permitted on this storage account.",
            )
        if kind.lower() != "bearer":
            raise _Refused(
                401,
                "NoAuthenticationInformation",
                "Server failed to authenticate the request. Please refer to the information in the"
                " www-authenticate header.",
            )
        host = str(request.url.hostname)
        try:
            return self._tokens.check(token, ("https://storage.azure.com", f"https://{host}"))
        except InvalidToken as error:
            raise _Refused(
                401,
                "InvalidAuthenticationInfo",
                "Server failed to authenticate the request. Please refer to the information in the"
                " www-authenticate header.",
            ) from error

    def may(self, principal_id: str, account: Resource, operation: Operation) -> bool:
        """Tell whether somebody's roles allow an operation in an account."""
        place = f"{account.id}/{operation.resource}".rstrip("/")

        def allowed(action: str) -> bool:
            return self._roles.allows(
                principal_id, f"{ACCOUNT_TYPE}/{action}", place, data=is_data(action)
            )

        return any(all(map(allowed, needed)) for needed in operation.needs)

    def _refusal(self, service: str, error: _Refused) -> Response:
        request_id = str(uuid.uuid4())
        text = f"{error}\nRequestId:{request_id}\nTime:{azure_time(self._clock.now())}"
        headers = {"x-ms-error-code": error.code, "x-ms-request-id": request_id}
        if error.status == 401:  # noqa: PLR2004 - HTTP
            where = f"https://login.microsoftonline.com/{TENANT_ID}/oauth2/authorize"
            headers["WWW-Authenticate"] = (
                f"Bearer authorization_uri={where} resource_id=https://storage.azure.com"
            )
        if service == "table":
            told = {"code": error.code, "message": {"lang": "en-US", "value": text}}
            body = json.dumps({"odata.error": told})
            return Response(body, error.status, headers, "application/json")
        body = (
            '<?xml version="1.0" encoding="utf-8"?>'
            f"<Error><Code>{error.code}</Code><Message>{text}</Message></Error>"
        )
        return Response(body, error.status, headers, "application/xml")
