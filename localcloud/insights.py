"""Application Insights' ingestion: takes what a component's publishers send, and keeps it.

Source: learn.microsoft.com, "Microsoft Entra authentication for Application Insights" (audience,
data action), and the exporters' own client of the endpoint `v2.1/track`.
"""

from __future__ import annotations

import gzip
import json
import threading
import uuid

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from localcloud.network import ASGIApp
from localcloud.roles import Roles
from localcloud.state import Json
from localcloud.tokens import InvalidToken, Tokens

HOST = "westeurope-5.in.applicationinsights.azure.com"
"""A host as Azure names those of a region."""

_AUDIENCE = "https://monitor.azure.com"
_WRITE = "Microsoft.Insights/Telemetry/Write"


def key_of(component: str) -> str:
    """Return the instrumentation key of a component, by its resource id; it opens nothing."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, component.lower()))


def connection_string(component: str) -> str:
    """Return where a component's telemetry goes."""
    key = key_of(component)
    return f"InstrumentationKey={key};IngestionEndpoint=https://{HOST}/;ApplicationId={key}"


class Insights:
    """What was sent to every component.

    Args:
        tokens: Who checks tokens.
        roles: Who may publish.
    """

    def __init__(self, tokens: Tokens, roles: Roles) -> None:
        self._tokens = tokens
        self._roles = roles
        self._components: dict[str, str] = {}
        self._kept: dict[str, list[Json]] = {}
        self._bytes: dict[str, int] = {}
        self._lock = threading.Lock()

    def know(self, component: str) -> None:
        """Take telemetry for a component from now on."""
        with self._lock:
            self._components[key_of(component)] = component

    def kept(self, component: str) -> list[Json]:
        """Return the envelopes that were sent to a component, oldest first."""
        with self._lock:
            return list(self._kept.get(key_of(component), ()))

    def size(self, component: str) -> int:
        """Return how many bytes they were before they were compressed."""
        with self._lock:
            return self._bytes.get(key_of(component), 0)

    @property
    def app(self) -> ASGIApp:
        """The app behind HOST."""
        return Starlette(routes=[Route("/{slash:path}v2.1/track", self._track, methods=["POST"])])

    async def _track(self, request: Request) -> JSONResponse:
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        try:
            principal = self._tokens.check(
                request.headers.get("authorization", "").removeprefix("Bearer "), (_AUDIENCE,)
            )
        except InvalidToken as error:
            return _refused(401, f"A token for {_AUDIENCE} is needed: {error}")
        envelopes = json.loads(body)
        errors = []
        with self._lock:
            for index, envelope in enumerate(envelopes):
                key = str(envelope.get("iKey"))
                component = self._components.get(key)
                if component is None:
                    errors.append({"index": index, "statusCode": 400, "message": "Invalid iKey"})
                elif not self._roles.allows(principal.object_id, _WRITE, component, data=True):
                    return _refused(403, f"{_WRITE} is not allowed")
                else:
                    self._kept.setdefault(key, []).append(envelope)
                    self._bytes[key] = self._bytes.get(key, 0) + len(json.dumps(envelope))
        taken = len(envelopes) - len(errors)
        told = {"itemsReceived": len(envelopes), "itemsAccepted": taken, "errors": errors}
        return JSONResponse(told, 206 if errors else 200)


def _refused(status: int, message: str) -> JSONResponse:
    told = {"itemsReceived": 0, "itemsAccepted": 0}
    error = {"index": 0, "statusCode": status, "message": message}
    return JSONResponse({**told, "errors": [error]}, status)
