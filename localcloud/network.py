"""Real host names on one machine: a tunnel, TLS with a throw-away CA, and apps by host.

Clients say https://management.azure.com and mean it: HTTPS_PROXY sends them to a CONNECT proxy
that joins them to the one TLS server here, which shows a certificate for the name they asked for.
Nothing leaves the machine: a host without an app is refused.
"""

from __future__ import annotations

import asyncio
import asyncio.trsock
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

import httpx
import trustme
import uvicorn

log = logging.getLogger(__name__)

type ASGIApp = Callable[..., Awaitable[None]]

_START_SECONDS = 120
_ANSWER_SECONDS = 300  # azure-core's own
_QUICKACK = getattr(socket, "TCP_QUICKACK", 0)  # Linux has it


class Loop:
    """An event loop on a thread of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self.loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """Begin to run."""
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=self._name, daemon=True)
        self._thread.start()

    def run[T](self, work: Coroutine[Any, Any, T], seconds: float = _START_SECONDS) -> T:
        """Run a coroutine there and wait for its result, from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def stop(self) -> None:
        """Cancel what still runs and end the thread."""
        if self._thread is None:
            return
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_START_SECONDS)
        self._thread = None
        self.loop.close()

    async def _cancel_all(self) -> None:
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Server:
    """A uvicorn server on a free port of 127.0.0.1, inside a Loop."""

    def __init__(self, loop: Loop, app: ASGIApp, tls: ssl.SSLContext | None = None) -> None:
        self._loop = loop
        self._socket = socket.create_server(("127.0.0.1", 0))
        # Its connections inherit it; asyncio sets it only on sockets that it has made itself, and
        # without it every answer waits some 40 ms for the client's acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            app,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            http="h11",
            timeout_graceful_shutdown=1,
        )
        config.load()
        config.ssl = tls
        self._server = uvicorn.Server(config)
        self._served: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Serve; returns when connections are accepted."""
        self._loop.run(self._start())

    async def _start(self) -> None:
        self._served = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._served.done():
                await self._served
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Close the connections and the port; to be awaited in the server's own loop."""
        self._server.should_exit = True
        self._server.force_exit = True
        if self._served is not None:
            await self._served
        self._socket.close()


class Network:
    """TLS under real names for the clients of this machine.

    Args:
        folder: Where the CA bundle is written.
    """

    def __init__(self, folder: Path) -> None:
        self._apps: dict[str, ASGIApp] = {}
        self._authority = trustme.CA(organization_name="ACR Rebuilder local cloud")
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._loop = Loop("localcloud-network")
        self._tls: Server | None = None
        self._plain: list[Server] = []
        self._tunnel: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tunnel_port = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_bundle = folder / "ca-bundle.pem"
        # Alone: nobody else is reached from here, and clients read it for every connection.
        self._authority.cert_pem.write_to_path(str(self.ca_bundle))

    def mount(self, host: str, app: ASGIApp) -> None:
        """Serve `app` under `host`, which may begin with a wildcard: `*.azurecr.io`."""
        self._apps[host.lower()] = app

    def issue(self, folder: Path, host: str) -> tuple[Path, Path]:
        """Write a certificate for a server of another process; return its file and its key's."""
        folder.mkdir(parents=True, exist_ok=True)
        issued = self._authority.issue_cert(host)
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        key.touch(mode=0o600)
        key.write_bytes(issued.private_key_pem.bytes())
        certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        return certificate, key

    def start(self) -> None:
        """Start the tunnel and the TLS server."""
        self._loop.start()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.sni_callback = self._choose_certificate
        self._authority.issue_cert("localhost").configure_cert(tls)
        self._tls = Server(self._loop, self._dispatch, tls)
        self._tls.start()
        self._tunnel = self._loop.run(asyncio.start_server(self._serve_tunnel, "127.0.0.1", 0))
        self._tunnel_port = self._tunnel.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Stop every server; harmless if repeated."""
        if self._tls is None:
            return
        if self._tunnel is not None:
            self._loop.loop.call_soon_threadsafe(self._tunnel.close)
        self.drop_connections()
        self._loop.run(_stop_all([*self._plain, self._tls]))
        self._tls = None
        self._plain.clear()
        self._loop.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def serve(self, app: ASGIApp) -> str:
        """Serve `app` by plain HTTP on a port of its own; return its address."""
        server = Server(self._loop, app)
        server.start()
        self._plain.append(server)
        return f"http://127.0.0.1:{server.port}"

    @property
    def proxy_url(self) -> str:
        """The address of the tunnel, for HTTPS_PROXY."""
        return f"http://127.0.0.1:{self._tunnel_port}"

    def environment(self) -> dict[str, str]:
        """Return the variables that send clients here and make them trust the CA."""
        bypass = "127.0.0.1,localhost"
        bundle = str(self.ca_bundle)
        return {
            "HTTPS_PROXY": self.proxy_url,
            "https_proxy": self.proxy_url,
            "NO_PROXY": bypass,
            "no_proxy": bypass,
            "REQUESTS_CA_BUNDLE": bundle,
            "SSL_CERT_FILE": bundle,
        }

    def client(self, **options: Any) -> httpx.Client:  # noqa: ANN401 - httpx's own options
        """Return an HTTP client that goes through the tunnel, whatever the environment says.

        It waits for answers as long as Azure's own clients do: on a busy machine an answer that
        starts a program takes long, and whoever hurries must say so.
        """
        context = ssl.create_default_context(cafile=str(self.ca_bundle))
        given = {"timeout": _ANSWER_SECONDS, **options}
        return httpx.Client(proxy=self.proxy_url, verify=context, trust_env=False, **given)

    def drop_connections(self) -> None:
        """Cut every connection through the tunnel, as a network that fails does."""
        for writer in list(self._writers):
            self._loop.loop.call_soon_threadsafe(writer.transport.abort)

    def _app(self, host: str) -> ASGIApp | None:
        host = host.lower()
        if host in self._apps:
            return self._apps[host]
        matching = [pattern for pattern in self._apps if fnmatchcase(host, pattern)]
        return self._apps[max(matching, key=len)] if matching else None

    def _choose_certificate(
        self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext
    ) -> None:
        if name is None:
            return
        if name not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._authority.issue_cert(name).configure_cert(context)
            self._contexts[name] = context
        connection.context = self._contexts[name]

    async def _dispatch(
        self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").partition(":")[0]
        await (self._app(host) or _misdirected)(scope, receive, send)

    async def _serve_tunnel(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, _, rest = head.partition(" ")
            host, _, port = rest.partition(" ")[0].rpartition(":")
            if method != "CONNECT" or port != "443" or self._app(host) is None:
                log.warning("the tunnel refuses %s: no such host in the local cloud", host or head)
                writer.write(b"HTTP/1.1 502 No such host in the local cloud\r\n\r\n")
                await writer.drain()
            elif self._tls is not None:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._tls.port)
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._writers.add(writer)
                client = writer.get_extra_info("socket") if _QUICKACK else None
                await asyncio.gather(_pipe(reader, far_writer, client), _pipe(far_reader, writer))
                self._writers.discard(writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _stop_all(servers: list[Server]) -> None:
    await asyncio.gather(*(server.stop() for server in servers))


async def _pipe(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    client: asyncio.trsock.TransportSocket | None = None,
) -> None:
    try:
        while True:
            if client is not None:
                # urllib3 sends a POST through a proxy in two pieces, the second when the first
                # was acknowledged (Nagle's algorithm): by default that is 40 ms later.
                client.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            chunk = await reader.read(65536)
            if not chunk:
                break
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        with contextlib.suppress(OSError):
            writer.close()


async def _misdirected(_scope: object, _receive: object, send: Callable[..., Any]) -> None:
    await send({"type": "http.response.start", "status": 421, "headers": []})
    await send({"type": "http.response.body", "body": b"no such host in the local cloud"})
