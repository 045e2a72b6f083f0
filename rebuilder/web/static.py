"""The page's own files; every other address is the page itself, which reads it."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from http import HTTPStatus
from importlib.resources import files

from msgspec import Struct

from rebuilder.web.http import Answer, Refusal, Request

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
}
PAGES = frozenset(
    {
        *("", "tasks", "task", "pushes", "push", "graph", "waves", "policies", "report"),
        *("health", "audit"),
    }
)
"""The addresses of the page."""


class _File(Struct, frozen=True):
    content: bytes
    packed: bytes
    etag: str


def static_answer(request: Request) -> Answer:
    """Return a file of the page.

    Raises:
        Refusal: There is none.
    """
    path = request.path.strip("/")
    name = "index.html" if path in PAGES else path
    kind = name.rpartition(".")[2]
    found = _files().get(name)
    if found is None or kind not in _TYPES:
        raise Refusal(HTTPStatus.NOT_FOUND, "not-found", "there is no such page")
    headers = {"Content-Type": _TYPES[kind], "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if "gzip" in request.header("accept-encoding"):
        packed = {"Content-Encoding": "gzip", "ETag": f'"{found.etag}-gz"'}
        return Answer(HTTPStatus.OK, found.packed, {**headers, **packed})
    return Answer(HTTPStatus.OK, found.content, {**headers, "ETag": f'"{found.etag}"'})


@cache
def _files() -> dict[str, _File]:
    """Return every file by its path: what is not among them cannot be asked for."""
    root = files("rebuilder.web").joinpath("static")
    found: dict[str, _File] = {}
    waiting = [("", root)]
    while waiting:
        prefix, folder = waiting.pop()
        for entry in folder.iterdir():
            name = f"{prefix}{entry.name}"
            if entry.is_dir():
                waiting.append((f"{name}/", entry))
            else:
                content = entry.read_bytes()
                digest = hashlib.sha256(content).hexdigest()[:20]
                found[name] = _File(content, gzip.compress(content, 9, mtime=0), digest)
    return found
