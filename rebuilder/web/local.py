"""The page on this machine: 127.0.0.1 alone, for whoever knows the address with its token."""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Callable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from rebuilder.usecases.context import Context
from rebuilder.web.app import LARGEST, App
from rebuilder.web.http import SECURITY, Answer, Refusal, Request
from rebuilder.web.principals import Principal, Role

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
_TOKEN = "token"  # noqa: S105 - its name in the address
_PATIENCE = 30  # seconds


class LocalServer:
    """Serves the page on this machine.

    Args:
        context: The ports.
        who: Whose name acts carry.
        roles: What they may.
        port: The port; 0 for any that is free.
    """

    def __init__(
        self, context: Context, who: str, roles: frozenset[Role] = frozenset(Role), port: int = 0
    ) -> None:
        self._token = secrets.token_urlsafe(32)
        self._principal = Principal(who, who, roles)
        self._server = ThreadingHTTPServer((ADDRESS, port), _handler(self._answer))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._cookie = f"rebuilder-{self.port}"
        hosts = {f"{ADDRESS}:{self.port}", f"localhost:{self.port}"}
        self._app = App(lambda: context, self._who, hosts)

    @property
    def address(self) -> str:
        """The address to be opened; whoever has it may do all that the server may."""
        return f"http://{ADDRESS}:{self.port}/?{_TOKEN}={self._token}"

    def serve(self) -> None:
        """Serve until `stop`, or an interrupt."""
        self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()

    def _answer(self, request: Request) -> Answer:
        given = request.query.get(_TOKEN)
        if given is None or request.method != "GET":
            return self._app.answer(request)
        if not self._right(given):
            return self._app.answer(Request("GET", "/", {}, {"host": request.header("host")}))
        # Out of the address at once: what stands there is kept by browsers, and shown to others.
        cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        to = "/" + request.path.lstrip("/\\")
        return Answer(HTTPStatus.SEE_OTHER, b"", {**SECURITY, "Location": to, "Set-Cookie": cookie})

    def _who(self, request: Request) -> Principal:
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(request.header("cookie"))
        except CookieError:
            cookies.clear()
        found = cookies.get(self._cookie)
        if found is None or not self._right(found.value):
            problem = "open the address that `rebuilder web` printed, with its token"
            raise Refusal(HTTPStatus.UNAUTHORIZED, "not-signed-in", problem)
        return self._principal

    def _right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


def _handler(answer: Callable[[Request], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "rebuilder"
        sys_version = ""
        timeout = _PATIENCE

        def do_GET(self) -> None:
            self._work(b"")

        def do_POST(self) -> None:
            given = self.headers.get("Content-Length", "")
            size = int(given) if given.isdecimal() and given.isascii() else -1
            if not 0 <= size <= LARGEST:
                self.close_connection = True
                self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return
            self._work(self.rfile.read(size))

        def _work(self, body: bytes) -> None:
            parts = urlsplit(self.path)
            request = Request(
                self.command,
                parts.path,
                dict(parse_qsl(parts.query, keep_blank_values=True)),
                {name.lower(): value for name, value in self.headers.items()},
                body,
            )
            found = answer(request)
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            if found.status != HTTPStatus.NOT_MODIFIED:
                self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            # The address of the first request holds the token.
            log.debug("%s %s", self.command, urlsplit(self.path).path)
            del format, args

    return Handler
