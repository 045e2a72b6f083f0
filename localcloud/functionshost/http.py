"""The host's HTTP side: Event Grid's webhook, HTTP triggers, admin endpoints, keys."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from localcloud.functionshost.worker import Function, http_request, http_response
from localcloud.network import ASGIApp

if TYPE_CHECKING:
    from localcloud.functionshost.host import FunctionsHost

log = logging.getLogger(__name__)

_ORIGIN = re.compile(r"(?:[a-z0-9-]+\.)?eventgrid\.azure\.(?:net|us|cn)", re.IGNORECASE)
_ALL = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]
_WEBHOOK = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]
_READY_SECONDS = 30


def make_app(host: FunctionsHost) -> ASGIApp:
    """Return the app of a host."""
    endpoints = _Endpoints(host)
    return Starlette(
        routes=[
            Route("/runtime/webhooks/{extension}", endpoints.webhook, methods=_WEBHOOK),
            Route("/admin/host/ping", endpoints.ping, methods=["GET", "POST"]),
            Route("/admin/host/status", endpoints.status),
            Route("/admin/functions/{name}", endpoints.run, methods=["POST"]),
            Route("/{path:path}", endpoints.http_trigger, methods=_ALL),
        ]
    )


class _Endpoints:
    def __init__(self, host: FunctionsHost) -> None:
        self._host = host
        self._started = time.monotonic()

    async def _ready(self) -> bool:
        deadline = time.monotonic() + _READY_SECONDS
        while self._host.state == "Default" and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # the state is set by another thread
        return self._host.state == "Running"

    def _key_status(self, request: Request, wanted: set[str]) -> int:
        """Return 200 for a key that opens, 401 for none or an unknown one, 403 for another's."""
        if not self._host.require_keys:
            return 200
        key = request.headers.get("x-functions-key") or request.query_params.get("code")
        host = self._host
        if key in {host.master_key, *wanted}:
            return 200
        return 403 if key in {host.eventgrid_key, host.function_key} else 401

    async def webhook(self, request: Request) -> Response:
        host = self._host
        if (status := self._key_status(request, {host.eventgrid_key})) != 200:  # noqa: PLR2004 - HTTP
            return Response(status_code=status)
        if not await self._ready():
            return Response(status_code=503)
        used = any(f.trigger["type"] == "eventGridTrigger" for f in host.functions.values())
        if request.path_params["extension"].lower() != "eventgrid" or not used:
            return Response(status_code=404)
        name = request.query_params.get("functionName", "")
        function = host.functions.get(name)
        wrong = function is None or function.trigger["type"] != "eventGridTrigger"
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
        try:
            body: Any = json.loads(await request.body())
        except ValueError:
            return Response(status_code=500)
        if not isinstance(body, list | dict):
            return Response(status_code=500)
        events = body if isinstance(body, list) else [body]
        if kind == "subscriptionvalidation":
            return _validation(events)
        # One run per event, all at once; one failure has the whole request sent again.
        runs = [
            asyncio.wrap_future(self._host.invoke(function, json.dumps(event), "json"))
            for event in events
        ]
        failed = [result.error for result in await asyncio.gather(*runs) if not result.ok]
        return PlainTextResponse(str(failed[0]), 500) if failed else Response(status_code=202)

    async def ping(self, _: Request) -> Response:
        return Response(status_code=200)

    async def status(self, request: Request) -> Response:
        if (status := self._key_status(request, set())) != 200:  # noqa: PLR2004 - HTTP
            return Response(status_code=status)
        return JSONResponse(
            {
                "id": "localcloud",
                "state": self._host.state,
                "version": "4.1037.0.0",
                "processUptime": int((time.monotonic() - self._started) * 1000),
                "errors": self._host.errors,
            }
        )

    async def run(self, request: Request) -> Response:
        """Run any function by hand; answered at once, the result goes to the log."""
        if (status := self._key_status(request, set())) != 200:  # noqa: PLR2004 - HTTP
            return Response(status_code=status)
        if not await self._ready():
            return Response(status_code=503)
        wanted = request.path_params["name"].lower()
        known = {name.lower(): function for name, function in self._host.functions.items()}
        if wanted not in known:
            return Response(status_code=404)
        try:
            text = str(json.loads(await request.body())["input"])
        except (ValueError, KeyError, TypeError):
            return Response(status_code=400)
        function = known[wanted]
        kind = "string" if function.trigger["type"] == "queueTrigger" else "json"
        self._host.invoke(function, text, kind)
        return Response(status_code=202)

    async def http_trigger(self, request: Request) -> Response:
        if not await self._ready():
            return Response(status_code=503)
        found = self._match(request)
        if found is None:
            return Response(status_code=404)
        function, params = found
        level = str(function.trigger.get("authLevel", "function")).lower()
        wanted = {"anonymous": None, "admin": set[str]()}.get(level, {self._host.function_key})
        if wanted is not None:
            status = self._key_status(request, wanted)
            if status != 200:  # noqa: PLR2004 - HTTP
                return Response(status_code=status)
        data = http_request(
            request.method,
            str(request.url),
            dict(request.headers),
            dict(request.query_params),
            params,
            await request.body(),
        )
        result = await asyncio.wrap_future(self._host.invoke(function, data, "http"))
        if not result.ok or result.value is None:
            return Response(status_code=500)
        code, headers, body = http_response(result.value)
        return Response(body, code, headers)

    def _match(self, request: Request) -> tuple[Function, Mapping[str, str]] | None:
        host = self._host
        prefix = host.host_settings.route_prefix.strip("/") if host.host_settings else "api"
        for function in host.functions.values():
            trigger = function.trigger
            if trigger["type"] != "httpTrigger" or host.is_disabled(function.name):
                continue
            route = str(trigger.get("route") or function.name).strip("/")
            methods = [str(m).upper() for m in trigger.get("methods") or _ALL]
            full = f"/{prefix}/{route}" if prefix else f"/{route}"
            pattern = re.sub(r"\\\{(\w+)[^}]*\\\}", r"(?P<\1>[^/]+)", re.escape(full))
            match = re.fullmatch(pattern, request.url.path, re.IGNORECASE)
            if match and request.method in methods:
                return function, match.groupdict()
        return None


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
