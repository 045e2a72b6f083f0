"""The registry service: one app for every registry's host."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.network import ASGIApp
from localcloud.registry import acr, distribution
from localcloud.registry.auth import Unauthorized
from localcloud.registry.content import Endpoint, RegistryService
from localcloud.registry.store import RegistryError
from localcloud.state import Registry


def registry_app(service: RegistryService) -> ASGIApp:
    """Return the app of every registry."""
    routes = [
        Route(path, _endpoint(service, handler), methods=[method])
        for method, path, handler in (*distribution.ROUTES, *acr.ROUTES, *_OAUTH)
    ]
    handlers = {RegistryError: _error, HTTPException: _unknown}
    return Starlette(routes=routes, exception_handlers=handlers)


def _endpoint(
    service: RegistryService, handler: Endpoint
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        host = request.headers.get("host", "").partition(":")[0].lower()
        registry = service.at(host)
        if registry is None:
            raise RegistryError(404, "REGISTRY_UNKNOWN", f"there is no registry at {host}")
        try:
            response = await handler(service, request, registry)
        except Unauthorized as refused:
            response = service.auth.challenge(registry, refused)
        response.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
        response.headers["X-Ms-Correlation-Request-Id"] = str(uuid.uuid4())
        return response

    return endpoint


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode()))


async def _exchange(service: RegistryService, request: Request, registry: Registry) -> Response:
    return service.auth.exchange(registry, await _form(request))


async def _token(service: RegistryService, request: Request, registry: Registry) -> Response:
    return service.auth.token(request, registry, await _form(request))


_OAUTH: tuple[tuple[str, str, Endpoint], ...] = (
    ("POST", "/oauth2/exchange", _exchange),
    ("POST", "/oauth2/token", _token),
    ("GET", "/oauth2/token", _token),
)


def _error(_: Request, error: Exception) -> Response:
    if not isinstance(error, RegistryError):
        raise error
    body = {"errors": [{"code": error.code, "message": str(error), "detail": None}]}
    return JSONResponse(body, error.status)


def _unknown(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    body = {"errors": [{"code": "UNSUPPORTED", "message": error.detail, "detail": None}]}
    return JSONResponse(body, error.status_code, error.headers)
