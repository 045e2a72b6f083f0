"""The admin API: fault injection, switched on by JSON over HTTP, from any language.

It listens on 127.0.0.1 without a password, so it refuses what a web page could make a browser
send: requests under another host's name, and requests that tell an origin.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud import switches
from localcloud.arm import Arm, Fault
from localcloud.network import ASGIApp
from localcloud.state import Json
from localcloud.switches import WrongSwitch

type _Handler = Callable[[Request], Awaitable[Response]]

_HOSTS = frozenset({"127.0.0.1", "localhost"})


class Admin:
    """The API's app.

    Args:
        arm: Whose faults and requests are shown.
        areas: The switches: mutable dataclasses by name.
        settle: Called after switches have changed.
        drop: Cuts every connection of the network.
    """

    def __init__(
        self,
        arm: Arm,
        areas: Mapping[str, object],
        settle: Callable[[], None],
        drop: Callable[[], None],
    ) -> None:
        self._arm = arm
        self._areas = areas
        self._settle = settle
        self._drop = drop
        routes: tuple[tuple[str, str, _Handler], ...] = (
            ("GET", "/", self._describe),
            ("GET", "/switches", self._values),
            ("PATCH", "/switches", self._change),
            ("GET", "/faults", self._faults),
            ("POST", "/faults", self._add_fault),
            ("DELETE", "/faults", self._clear_faults),
            ("POST", "/reset", self._reset),
            ("GET", "/requests", self._requests),
            ("POST", "/connections/drop", self._drop_connections),
        )
        self.app: ASGIApp = Starlette(
            routes=[Route(path, _guarded(work), methods=[method]) for method, path, work in routes]
        )

    async def _describe(self, _: Request) -> Response:
        areas = {name: switches.describe(type(area), area) for name, area in self._areas.items()}
        return JSONResponse({"switches": areas, "fault": switches.describe(Fault)})

    async def _values(self, _: Request) -> Response:
        return JSONResponse({name: switches.values(area) for name, area in self._areas.items()})

    async def _change(self, request: Request) -> Response:
        body = _nested(await _object(request))
        for name, changes in body.items():
            if name not in self._areas:
                raise WrongSwitch(name, "There is no such area.", ", ".join(self._areas))
            switches.check(type(self._areas[name]), changes, f"{name}.")
        for name, changes in body.items():
            for field, value in changes.items():
                setattr(self._areas[name], field, value)
        self._settle()
        return await self._values(request)

    async def _faults(self, _: Request) -> Response:
        return JSONResponse([dataclasses.asdict(fault) for fault in self._arm.faults])

    async def _add_fault(self, request: Request) -> Response:
        fields = await _object(request)
        switches.check(Fault, fields)
        for name, entry in switches.describe(Fault).items():
            if name not in fields and "default" not in entry:
                raise WrongSwitch(name, "It is required.", entry["type"])
        try:
            re.compile(fields["path"])
        except re.PatternError as error:
            message = f"It is not a regular expression: {error}."
            raise WrongSwitch("path", message, "a regular expression") from error
        fault = Fault(**fields)
        self._arm.faults.append(fault)
        return JSONResponse(dataclasses.asdict(fault), 201)

    async def _clear_faults(self, _: Request) -> Response:
        self._arm.faults.clear()
        return Response(status_code=204)

    async def _reset(self, request: Request) -> Response:
        for area in self._areas.values():
            switches.reset(area)
        self._arm.faults.clear()
        self._arm.throttle.refill()
        self._settle()
        return await self._values(request)

    async def _requests(self, _: Request) -> Response:
        asked = [{"method": method, "path": path} for method, path in self._arm.requests]
        return JSONResponse(asked)

    async def _drop_connections(self, _: Request) -> Response:
        self._drop()
        return Response(status_code=204)


def _guarded(work: _Handler) -> _Handler:
    async def endpoint(request: Request) -> Response:
        host = request.headers.get("host", "").partition(":")[0].lower()
        if host not in _HOSTS or "origin" in request.headers:
            return JSONResponse({"error": {"message": "Only this machine's own programs."}}, 403)
        try:
            return await work(request)
        except WrongSwitch as wrong:
            error = {"field": wrong.name, "message": str(wrong), "allowed": wrong.allowed}
            return JSONResponse({"error": error}, 400)

    return endpoint


async def _object(request: Request) -> Json:
    try:
        body: Any = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise WrongSwitch("", "The body is not a JSON object.", "an object")
    return body


def _nested(body: Json) -> dict[str, Json]:
    """Return switches by area, where they may have come as `area.name`."""
    nested: dict[str, Json] = {}
    for name, value in body.items():
        area, dot, field = name.partition(".")
        changes = {field: value} if dot else value
        if not isinstance(changes, dict):
            raise WrongSwitch(name, "It is not a JSON object.", "an object")
        nested.setdefault(area, {}).update(changes)
    return nested
