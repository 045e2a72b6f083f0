"""A browser asks: the operators' page, an HTTP function for each endpoint of its API."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import azure.functions as func

from rebuilder.web.endpoints import ENDPOINTS

if TYPE_CHECKING:
    from rebuilder.web.app import App

blueprint = func.Blueprint()


@cache
def _app() -> App:
    from rebuilder.composition import compose
    from rebuilder.web.app import App
    from rebuilder.web.principals import vouched

    known_as = filter(None, [os.environ.get("WEBSITE_HOSTNAME", "")])
    return App(compose, lambda request: vouched(os.environ, request), known_as=tuple(known_as))


def answer(request: func.HttpRequest) -> func.HttpResponse:
    """Answer a request."""
    from rebuilder.web.http import Request

    found = _app().answer(
        Request(
            request.method.upper(),
            unquote(urlsplit(request.url).path),
            dict(request.params),
            {name.lower(): value for name, value in request.headers.items()},
            request.get_body(),
        )
    )
    kind = found.headers.get("Content-Type")
    return func.HttpResponse(
        found.body, status_code=found.status, headers=dict(found.headers), mimetype=kind
    )


def _function(
    name: str, route: str, method: str
) -> Callable[[func.HttpRequest], func.HttpResponse]:
    def ask(req: func.HttpRequest) -> func.HttpResponse:
        return answer(req)

    ask.__name__ = name
    # Easy Auth stands before all of them, and the app sees to the roles: a key would be one more
    # secret that a browser has to have.
    trigger = blueprint.route(route, methods=[method], auth_level=func.AuthLevel.ANONYMOUS)
    trigger(ask)
    return ask


for _endpoint in ENDPOINTS:
    _function(f"web_{_endpoint.name}", _endpoint.path.lstrip("/"), _endpoint.method)
_function("web_page", "{*path}", "GET")
