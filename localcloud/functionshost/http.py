"""The host's HTTP side: Event Grid's webhook, HTTP triggers, admin endpoints, keys."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Mapping
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from localcloud.functionshost.settings import HostError, HostSettings
from localcloud.functionshost.timers import timer_info
from localcloud.functionshost.worker import Function, Result, Typed, http_request, http_response
from localcloud.network import ASGIApp

log = logging.getLogger(__name__)

_ORIGIN = re.compile(r"(?:[a-z0-9-]+\.)?eventgrid\.azure\.(?:net|us|cn)", re.IGNORECASE)
_ALL = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]
_WEBHOOK = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]
_READY_SECONDS = 120
# Event Grid sends batches of 5,000 events and 1 MB at most; learn.microsoft.com, "Event Grid
# message delivery and retry", output batching. The real host takes what any endpoint takes.
_MOST_EVENTS = 5000
_EVENTS_BYTES = 1024 * 1024 + 4096
# "Overrides the default limit on the body size of requests sent to HTTP endpoints";
# learn.microsoft.com, "App settings reference for Azure Functions".
_BODY_LIMIT = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"
_BODY_BYTES = 100 * 1024 * 1024
_PARAMETER = re.compile(r"\{(?P<all>\*?)(?P<name>\w+)(?::(?P<kind>\w+))?(?P<maybe>\??)\}")
_KINDS = {None: "[^/]+", "int": r"-?\d+", "alpha": "[A-Za-z]+", "guid": "[0-9A-Fa-f-]{36}"}


class Host(Protocol):
    """What this side needs of a host; see FunctionsHost."""

    settings: dict[str, str]
    master_key: str
    eventgrid_key: str
    function_key: str
    require_keys: bool
    state: str
    errors: list[str]
    functions: dict[str, Function]
    host_settings: HostSettings | None

    def is_disabled(self, name: str) -> bool:
        """Tell whether a function's own setting disables it."""

    def invoke(self, function: Function, data: Typed, *, trigger: str) -> Future[Result]:
        """Run a function."""

    def drain(self) -> None:
        """Take no more from queues and timers."""


def make_app(host: Host) -> ASGIApp:
    """Return the app of a host."""
    endpoints = _Endpoints(host)
    return Starlette(
        routes=[
            Route("/runtime/webhooks/{extension}", endpoints.webhook, methods=_WEBHOOK),
            Route("/admin/host/ping", endpoints.ping, methods=["GET", "POST"]),
            Route("/admin/host/status", endpoints.status),
            Route("/admin/host/drain", endpoints.drain, methods=["POST"]),
            Route("/admin/functions/{name}", endpoints.run, methods=["POST"]),
            Route("/{path:path}", endpoints.http_trigger, methods=_ALL),
        ]
    )


def route_pattern(function: Function, prefix: str = "") -> re.Pattern[str]:
    """Return what the paths of an HTTP function look like.

    Raises:
        HostError: The route is one of the host's own, or of a form that this host does not know.
    """
    route = str(function.trigger.get("route") or function.name).strip("/")
    if route.lower().startswith(("admin", "runtime")):
        raise HostError("The specified route conflicts with one or more built in routes.")
    pattern = re.escape(f"/{prefix.strip('/')}") if prefix.strip("/") else ""
    for part in route.split("/"):
        match = _PARAMETER.fullmatch(part)
        if match is None:
            if "{" in part:
                raise HostError(f"this host cannot read the route '{route}'")
            pattern += "/" + re.escape(part)
            continue
        if match["kind"] not in _KINDS:
            raise HostError(f"this host has no route constraint '{match['kind']}'")
        value = ".*" if match["all"] else _KINDS[match["kind"]]
        named = f"/(?P<{match['name']}>{value})"
        pattern += f"(?:{named})?" if match["maybe"] or match["all"] else named
    return re.compile(pattern + "/?", re.IGNORECASE)


class _Endpoints:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._started = time.monotonic()

    async def _ready(self) -> bool:
        deadline = time.monotonic() + _READY_SECONDS
        while self._host.state == "Default" and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # the state is set by another thread
        return self._host.state == "Running"

    def _limit(self) -> int:
        """Return how many bytes a request may have."""
        text = self._host.settings.get(_BODY_LIMIT, "")
        return int(text) if text.isdecimal() else _BODY_BYTES

    def _key_status(self, request: Request, *wanted: str) -> HTTPStatus:
        """Return 200 for a key that opens, 401 for none or an unknown one, 403 for another's."""
        host = self._host
        if not host.require_keys:
            return HTTPStatus.OK
        key = request.headers.get("x-functions-key") or request.query_params.get("code")
        if key in {host.master_key, *wanted}:
            return HTTPStatus.OK
        known = key in {host.eventgrid_key, host.function_key}
        return HTTPStatus.FORBIDDEN if known else HTTPStatus.UNAUTHORIZED

    async def webhook(self, request: Request) -> Response:
        host = self._host
        if (status := self._key_status(request, host.eventgrid_key)) != HTTPStatus.OK:
            return Response(status_code=status)
        if not await self._ready():
            return Response(status_code=503)
        used = any(f.kind == "eventgridtrigger" for f in host.functions.values())
        if request.path_params["extension"].lower() != "eventgrid" or not used:
            return Response(status_code=404)
        name = request.query_params.get("functionName", "")
        function = host.functions.get(name)
        wrong = function is None or function.kind != "eventgridtrigger"
        if function is None or wrong or host.is_disabled(name):
            return PlainTextResponse(f"cannot find function: '{name}'", 404)
        if request.method == "OPTIONS":
            origin = request.headers.get("webhook-request-origin", "")
            allowed = origin if _ORIGIN.fullmatch(origin) else "eventgrid.azure.net"
            return Response(status_code=200, headers={"Webhook-Allowed-Origin": allowed})
        return await self._event(request, function)

    async def _event(self, request: Request, function: Function) -> Response:
        kind = request.headers.get("aeg-event-type", "").lower()
        if kind == "unsubscribe":
            return Response(status_code=202)
        if kind not in ("notification", "subscriptionvalidation"):
            return Response(status_code=400)
        data = await _body(request, min(_EVENTS_BYTES, self._limit()))
        if data is None:
            return Response(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            body: Any = json.loads(data)
        except (ValueError, RecursionError):
            return Response(status_code=500)
        if not isinstance(body, list | dict):
            return Response(status_code=500)
        events = body if isinstance(body, list) else [body]
        if len(events) > _MOST_EVENTS:
            return Response(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if kind == "subscriptionvalidation":
            return _validation(events)
        if str(function.trigger.get("cardinality")).lower() == "many":
            events = [events]
        # One run per event, all at once; one failure has the whole request sent again.
        runs = [
            asyncio.wrap_future(
                self._host.invoke(function, (json.dumps(event), "json"), trigger=_named(event))
            )
            for event in events
        ]
        failed = [result.error for result in await asyncio.gather(*runs) if not result.ok]
        return PlainTextResponse(str(failed[0]), 500) if failed else Response(status_code=202)

    async def ping(self, _: Request) -> Response:
        return Response(status_code=200)

    async def status(self, request: Request) -> Response:
        if (status := self._key_status(request)) != HTTPStatus.OK:
            return Response(status_code=status)
        host = self._host
        return JSONResponse(
            {
                "id": "localcloud",
                "state": host.state,
                "version": "4.1037.0.0",
                "processUptime": int((time.monotonic() - self._started) * 1000),
                "extensionBundle": host.host_settings.bundle if host.host_settings else None,
                "errors": host.errors,
            }
        )

    async def drain(self, request: Request) -> Response:
        if (status := self._key_status(request)) != HTTPStatus.OK:
            return Response(status_code=status)
        self._host.drain()
        return Response(status_code=202)

    async def run(self, request: Request) -> Response:
        """Run any function by hand; answered at once, the result goes to the log."""
        if (status := self._key_status(request)) != HTTPStatus.OK:
            return Response(status_code=status)
        if not await self._ready():
            return Response(status_code=503)
        wanted = request.path_params["name"].lower()
        known = {name.lower(): function for name, function in self._host.functions.items()}
        if wanted not in known:
            return Response(status_code=404)
        given = await _body(request, self._limit())
        if given is None:
            return Response(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            body = json.loads(given)
        except (ValueError, RecursionError):
            return Response(status_code=400)
        if not isinstance(body, dict):
            return Response(status_code=400)
        function = known[wanted]
        text = str(body.get("input") or "")
        if function.kind == "timertrigger":
            text = timer_info()
        kind = "string" if function.kind == "queuetrigger" else "json"
        self._host.invoke(function, (text, kind), trigger="called by hand")
        return Response(status_code=202)

    async def http_trigger(self, request: Request) -> Response:
        if not await self._ready():
            return Response(status_code=503)
        found = self._match(request)
        if found is None:
            return Response(status_code=404)
        function, params = found
        level = str(function.trigger.get("authLevel") or "function").lower()
        if level != "anonymous":
            wanted = () if level == "admin" else (self._host.function_key,)
            if self._key_status(request, *wanted) != HTTPStatus.OK:
                return Response(status_code=401)  # of another's key, too
        # A disabled function is there for the master key alone.
        by_master = self._key_status(request) == HTTPStatus.OK
        if self._host.is_disabled(function.name) and not by_master:
            return Response(status_code=404)
        body = await _body(request, self._limit())
        if body is None:
            return Response(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        data = http_request(
            request.method,
            str(request.url),
            dict(request.headers),
            dict(request.query_params),
            params,
            body,
        )
        trigger = f"{request.method} {request.url.path}"
        run = self._host.invoke(function, (data, "http"), trigger=trigger)
        result = await asyncio.wrap_future(run)
        if not result.ok or result.value is None:
            return Response(status_code=500)
        code, headers, answer = http_response(result.value)
        response = Response(answer, code)
        for name, value in headers:
            response.headers.append(name, value)
        return response

    def _match(self, request: Request) -> tuple[Function, Mapping[str, str]] | None:
        host = self._host
        prefix = host.host_settings.route_prefix if host.host_settings else "api"
        found: list[tuple[Function, Mapping[str, str]]] = []
        for function in host.functions.values():
            if function.kind != "httptrigger":
                continue
            methods = [str(m).upper() for m in function.trigger.get("methods") or _ALL]
            match = route_pattern(function, prefix).fullmatch(request.url.path)
            if match and request.method in methods:
                given = {k: v for k, v in match.groupdict().items() if v is not None}
                found.append((function, given))
        # The more of the path a route spells out, the better it fits.
        return min(found, key=lambda each: len(each[1]), default=None)


async def _body(request: Request, most: int) -> bytes | None:
    """Return a request's body; None if it is larger than it may be, of which little is read."""
    if int(request.headers.get("content-length") or 0) > most:
        return None
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > most:
            return None
    return bytes(received)


def _named(event: Any) -> str:  # noqa: ANN401 - JSON
    """Return a few words on an event."""
    return f"event {event.get('id')}" if isinstance(event, dict) else "event"


def _validation(events: list[Any]) -> Response:
    """Answer Event Grid's question whether the endpoint wants its events."""
    data: Any = events[0].get("data") if events and isinstance(events[0], dict) else None
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except ValueError:
            data = None
    code = data.get("validationCode") if isinstance(data, dict) else None
    return PlainTextResponse(json.dumps({"validationResponse": code}))
