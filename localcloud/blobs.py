"""Azure Blob Storage as far as ACR Tasks shows it: logs to read, contexts to upload."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localcloud.network import ASGIApp

HOST = "acrtaskprod.blob.core.windows.net"

type Content = Callable[[], tuple[bytes, bool]]
"""The bytes so far, and whether there will be no more."""


class Blobs:
    """Blobs behind addresses that carry their own permission, as a SAS does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._signatures: dict[str, str] = {}
        self._contents: dict[str, Content] = {}
        self.app: ASGIApp = Starlette(
            routes=[
                Route("/{path:path}", self._get, methods=["GET"]),
                Route("/{path:path}", self._put, methods=["PUT"]),
            ]
        )

    def share(self, path: str, content: Content | None = None) -> str:
        """Return an address to read `content` at, or to upload to if there is none yet."""
        signature = secrets.token_urlsafe(24)
        with self._lock:
            self._signatures[path] = signature
            if content is not None:
                self._contents[path] = content
        return f"https://{HOST}/{path}?sv=2024-11-04&sp=rw&sig={signature}"

    def read(self, path: str) -> bytes | None:
        """Return what was uploaded to a path."""
        with self._lock:
            content = self._contents.get(path)
        return content()[0] if content else None

    def _allowed(self, request: Request) -> bool:
        with self._lock:
            signature = self._signatures.get(request.path_params["path"])
        given = request.query_params.get("sig", "")
        return signature is not None and secrets.compare_digest(signature, given)

    async def _get(self, request: Request) -> Response:
        with self._lock:
            content = self._contents.get(request.path_params["path"])
        if not self._allowed(request):
            return _error(403, "AuthenticationFailed")
        if content is None:
            return _error(404, "BlobNotFound")
        data, done = content()
        headers = {"x-ms-blob-type": "AppendBlob", "Content-Length": str(len(data))}
        if done:
            headers["x-ms-meta-Complete"] = "successful"
        body = None if request.method == "HEAD" else data
        return Response(body, 200, headers, "text/plain; charset=utf-8")

    async def _put(self, request: Request) -> Response:
        if not self._allowed(request):
            return _error(403, "AuthenticationFailed")
        data = await request.body()
        with self._lock:
            self._contents[request.path_params["path"]] = lambda: (data, True)
        return Response(status_code=201)


def _error(status: int, code: str) -> Response:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code></Error>'
    return Response(body, status, {"x-ms-error-code": code}, "application/xml")
