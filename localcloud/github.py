"""GitHub, as far as reading build contexts needs it: commits and files of mapped repositories.

Source: docs.github.com, REST API, "Get a commit" and "Get repository content".
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from localcloud.builds.contexts import Contexts, Source
from localcloud.network import ASGIApp

HOST = "api.github.com"

type Answer = Callable[[Request], Response]

_EXPIRATION = "github-authentication-token-expiration"
_SHA = "application/vnd.github.sha"
_OBJECT = ("application/vnd.github.object", "application/vnd.github.object+json")


def github_app(contexts: Contexts) -> ASGIApp:
    """Return the app behind https://api.github.com."""

    def source(request: Request) -> Source | None:
        """Return the repository; strangers are not told whether there is one."""
        names = request.path_params
        found = contexts.source(f"https://github.com/{names['owner']}/{names['repository']}")
        if found is None or found.token is None:
            return found
        shown = _shown(request.headers.get("authorization", ""))
        return found if secrets.compare_digest(found.token, shown) else None

    def commit(request: Request) -> Response:
        found = source(request)
        if found is None:
            return _error(404, "Not Found")
        if request.headers.get("accept") != _SHA:
            return _error(415, f"the local cloud answers {_SHA} only")
        ref = request.path_params["ref"]
        known = found.commit("" if ref == "HEAD" else ref)
        if known is None:
            return _error(422, f"No commit found for SHA: {ref}")
        tag = f'"{hashlib.sha256(known.encode()).hexdigest()}"'
        if request.headers.get("if-none-match") == tag:
            return Response(None, 304, {"ETag": tag})
        return PlainTextResponse(known, headers={"ETag": tag}, media_type=_SHA)

    def content(request: Request) -> Response:
        found = source(request)
        if found is None:
            return _error(404, "Not Found")
        if request.headers.get("accept") not in _OBJECT:
            return _error(415, f"the local cloud answers {_OBJECT[0]} only")
        wanted, path = request.query_params.get("ref", ""), request.path_params["path"]
        known = found.commit(wanted)
        if known is None:
            return _error(404, f"No commit found for the ref {wanted}")
        data = found.file(known, path)
        if data is None:
            return _error(404, "Not Found")
        body = {
            "type": "file",
            "encoding": "base64",
            "size": len(data),
            "name": path.rpartition("/")[2],
            "path": path,
            "content": base64.encodebytes(data).decode(),
        }
        return JSONResponse(body)

    def limits(_: Request) -> Response:
        return JSONResponse({"resources": {}, "rate": {"limit": 5000, "remaining": 5000}})

    base = "/repos/{owner}/{repository}"
    return Starlette(
        routes=[
            Route("/rate_limit", _telling(contexts, limits)),
            Route(base + "/commits/{ref:path}", _telling(contexts, commit)),
            Route(base + "/contents/{path:path}", _telling(contexts, content)),
        ]
    )


def _telling(contexts: Contexts, answer: Answer) -> Answer:
    """Have an answer say when the token ends that was shown, where the cloud was told of an end."""

    def telling(request: Request) -> Response:
        response = answer(request)
        if contexts.tokens_end is not None and "authorization" in request.headers:
            response.headers[_EXPIRATION] = f"{contexts.tokens_end:%Y-%m-%d %H:%M:%S} UTC"
        return response

    return telling


def _shown(header: str) -> str:
    """Return the token of an Authorization header, in any form that GitHub takes."""
    kind, _, value = header.partition(" ")
    if kind.lower() in ("bearer", "token"):
        return value
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[2]
        except ValueError:
            return ""
    return ""


def _error(status: int, message: str) -> Response:
    return JSONResponse({"message": message, "status": str(status)}, status)
