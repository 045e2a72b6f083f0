"""Azure Blob Storage as far as ACR Tasks shows it: logs to read, contexts to upload.

Source: the Blob service's REST reference (Get Blob, Put Blob, Put Block, Put Block List).
"""

from __future__ import annotations

import base64
import re
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localcloud.network import ASGIApp

HOST = "acrtaskprod.blob.core.windows.net"
LAYERS = "weumanaged1.blob.core.windows.net"
"""Where a registry's blobs are, when it sends clients there."""

type Content = Callable[[], tuple[bytes, str]]
"""The bytes so far, and how it ended; empty while there may be more."""

_BLOCK = re.compile(r"<(?:Latest|Uncommitted|Committed)>([^<]+)</")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Blobs:
    """Blobs behind addresses that carry their own permission, as a SAS does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._signatures: dict[str, str] = {}
        self._contents: dict[str, Content] = {}
        self._blocks: dict[tuple[str, str], bytes] = {}  # by path and block id
        self.app: ASGIApp = Starlette(
            routes=[
                Route("/{path:path}", self._get, methods=["GET"]),
                Route("/{path:path}", self._put, methods=["PUT"]),
            ]
        )

    def share(self, path: str, content: Content | None = None, host: str = HOST) -> str:
        """Return an address to read `content` at, or to upload to if there is none yet."""
        signature = secrets.token_urlsafe(24)
        with self._lock:
            self._signatures[path] = signature
            if content is not None:
                self._contents[path] = content
        return f"https://{host}/{path}?sv=2024-11-04&sp=rw&sig={signature}"

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
        data, ended = content()
        headers = {
            "x-ms-blob-type": "AppendBlob",
            "Last-Modified": format_datetime(datetime.now(UTC), usegmt=True),
            "ETag": f'"{len(data)}"',
            "Accept-Ranges": "bytes",
        }
        if ended:
            headers["x-ms-meta-Complete"] = ended
        wanted = request.headers.get("x-ms-range") or request.headers.get("range") or ""
        match = _RANGE.fullmatch(wanted)
        status = 200
        if match is not None:
            first, last = int(match[1]), int(match[2] or len(data))
            if first >= len(data):
                return _error(416, "InvalidRange")
            headers["Content-Range"] = f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}"
            data, status = data[first : last + 1], 206
        headers["Content-Length"] = str(len(data))
        body = None if request.method == "HEAD" else data
        return Response(body, status, headers, "text/plain; charset=utf-8")

    async def _put(self, request: Request) -> Response:
        if not self._allowed(request):
            return _error(403, "AuthenticationFailed")
        path, data = request.path_params["path"], await request.body()
        part = request.query_params.get("comp", "")
        if part == "block":
            with self._lock:
                self._blocks[path, request.query_params.get("blockid", "")] = data
            return Response(status_code=201)
        if part == "blocklist":
            # The ids are what a client named its blocks, in the order of the blob.
            ids = _BLOCK.findall(data.decode())
            with self._lock:
                if any((path, block) not in self._blocks for block in ids):
                    return _error(400, "InvalidBlockList")
                data = b"".join(self._blocks.pop((path, block)) for block in ids)
        elif part:
            return _error(400, "InvalidQueryParameterValue")
        with self._lock:
            self._contents[path] = lambda: (data, "")
        headers = {"ETag": f'"{base64.b64encode(secrets.token_bytes(6)).decode()}"'}
        headers["Last-Modified"] = format_datetime(datetime.now(UTC), usegmt=True)
        return Response(status_code=201, headers=headers)


def _error(status: int, code: str) -> Response:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code></Error>'
    return Response(body, status, {"x-ms-error-code": code}, "application/xml")
