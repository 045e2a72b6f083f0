"""Azure Blob Storage as far as ACR Tasks shows it: logs to read, contexts to upload."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localcloud.network import ASGIApp

HOST = "acrtaskprod.blob.core.windows.net"

type Content = Callable[[], tuple[bytes, str]]
"""The bytes so far, and how the writing ended; "" while there may be more."""

type _Permission = Literal["r", "cw"]


class Blobs:
    """Blobs behind addresses that carry their own permission, as a SAS does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._signatures: dict[str, tuple[str, _Permission]] = {}
        self._contents: dict[str, Content] = {}
        self.app: ASGIApp = Starlette(
            routes=[
                Route("/{path:path}", self._get, methods=["GET"]),
                Route("/{path:path}", self._put, methods=["PUT"]),
            ]
        )

    def share(self, path: str, content: Content | None = None) -> str:
        """Return an address to read `content` at, or to upload to if there is none.

        Earlier addresses of the same path stay good.
        """
        signature = secrets.token_urlsafe(24)
        permission: _Permission = "cw" if content is None else "r"
        with self._lock:
            self._signatures[signature] = path, permission
            if content is not None:
                self._contents[path] = content
        return f"https://{HOST}/{path}?sv=2024-11-04&sr=b&sp={permission}&sig={signature}"

    def read(self, path: str) -> bytes | None:
        """Return what was uploaded to a path."""
        with self._lock:
            content = self._contents.get(path)
        return content()[0] if content else None

    def _allowed(self, request: Request, permission: _Permission) -> bool:
        with self._lock:
            granted = self._signatures.get(request.query_params.get("sig", ""))
        return granted == (request.path_params["path"], permission)

    async def _get(self, request: Request) -> Response:
        if not self._allowed(request, "r"):
            return _error(403, "AuthenticationFailed")
        with self._lock:
            content = self._contents[request.path_params["path"]]
        data, ended = content()
        headers = {"x-ms-blob-type": "AppendBlob"}
        if ended:
            # Azure's CLI follows a log until this metadata is set, and ends as it says.
            headers["x-ms-meta-Complete"] = ended
        return Response(data, 200, headers, "text/plain; charset=utf-8")

    async def _put(self, request: Request) -> Response:
        if not self._allowed(request, "cw"):
            return _error(403, "AuthenticationFailed")
        data = await request.body()
        with self._lock:
            self._contents[request.path_params["path"]] = lambda: (data, "successful")
        return Response(status_code=201)


def _error(status: int, code: str) -> Response:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code></Error>'
    return Response(body, status, {"x-ms-error-code": code}, "application/xml")
