"""The processes: the cloud, hosts, Azurite, and the one address behind which the hosts are."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from localcloud.network import Loop
from tests import patience
from tests.patience import SECONDS

ROOT = Path(__file__).resolve().parent.parent.parent
_CHUNK = 65536


class Child:
    """A process that ends when its standard input does, so that none is left to itself.

    Args:
        command: What is started.
        log: The file that its standard error is added to.
        environment: More of its environment.
        folder: Where it runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path = ROOT,
    ) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                text=True,
                start_new_session=True,  # Ctrl-C is for whoever started it, who ends it
            )
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def tell(self, message: object) -> None:
        """Send a line of JSON."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it was killed meanwhile
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def hear(self) -> dict[str, Any] | None:
        """Wait for a line of JSON; None if it has ended without one."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            heard: dict[str, Any] = json.loads(line)
        except ValueError:
            return None
        return heard

    def ask(self, do: str, **values: object) -> Any:  # noqa: ANN401 - JSON
        """Send a command and wait for its answer.

        Raises:
            RuntimeError: The process has ended.
        """
        with self._lock:
            self.tell({"do": do, **values})
            answer: Any = self.hear()
        if answer is None:
            raise RuntimeError(f"process {self.pid} has ended; see its log")
        return answer

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Let it end by itself; at once if it does not."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(SECONDS / 10)
        self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Door:
    """One address for Event Grid, behind which hosts come and go; nobody there is no answer."""

    def __init__(self) -> None:
        self._loop = Loop("door")
        self._ports: list[int] = []
        self._turn = 0
        self._server: asyncio.Server | None = None
        self.port = 0

    def start(self) -> None:
        """Begin to listen."""
        self._loop.start()
        self._server = self._loop.run(asyncio.start_server(self._enter, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Close it."""
        if self._server is not None:
            self._server.close()
        self._loop.stop()

    def open(self, port: int) -> None:
        """Let a host have its share of what comes."""
        self._ports.append(port)

    def shut(self, port: int) -> None:
        """Let it have no more."""
        with suppress(ValueError):
            self._ports.remove(port)

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports = list(self._ports)
        try:
            if ports:
                self._turn += 1
                port = ports[self._turn % len(ports)]
                inner, outer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await asyncio.gather(_carry(reader, outer), _carry(inner, writer))
                finally:
                    outer.close()
        except OSError:
            pass  # it was killed meanwhile
        finally:
            writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


class Host:
    """A Functions host; it begins to start, and is behind the door once it has.

    Args:
        code: The folder whose code it runs.
        settings: Its environment.
        folder: Where it keeps what timers remember, and its log.
        door: What it is reached by.
        keys: The keys that every host of the app has.
        ahead: By how many seconds its clock is wrong.
    """

    def __init__(
        self,
        code: Path,
        settings: Mapping[str, str],
        folder: Path,
        door: Door,
        keys: Mapping[str, str],
        ahead: float = 0,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.log = folder / "log"
        self._door, self._keys = door, keys
        self._begin = self.log.stat().st_size if self.log.exists() else 0
        self._started = threading.Event()
        self._told: dict[str, Any] | None = None
        self._http = patience.client()
        environment = {**settings, "PYTHONPATH": str(code), "CHAOS_CLOCK_SECONDS": str(ahead)}
        script = str(Path(__file__).with_name("host.py"))
        command = [sys.executable, "-P", script, str(code), str(folder)]
        self._child = Child(command, self.log, environment, code)
        self._child.tell(keys)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        self._told = self._child.hear()
        if self._told is not None:
            self._door.open(self._port)
        self._started.set()

    @property
    def _port(self) -> int:
        return httpx.URL(self._told["url"]).port or 0 if self._told else 0

    def started(self) -> dict[str, Any]:
        """Wait until it has started; return what it tells of itself.

        Raises:
            AssertionError: It has not.
        """
        assert self._started.wait(SECONDS), f"the host has not started; see {self.log}"
        assert self._told is not None, f"the host has ended; see {self.log}"
        return self._told

    def post(self, content: bytes, key: str | None = None, **more: str) -> int:
        """Send what claims to be events straight to it; return the status, 0 for no answer."""
        url = f"{self.started()['url']}/runtime/webhooks/eventgrid?functionName=image_pushed"
        headers = {"aeg-event-type": "Notification", "content-type": "application/json", **more}
        headers["x-functions-key"] = self._keys["eventgrid"] if key is None else key
        try:
            return self._http.post(url, content=content, headers=headers).status_code
        except httpx.TransportError:
            return 0

    def said(self) -> str:
        """Return what it has logged so far."""
        return self.log.read_bytes()[self._begin :].decode(errors="replace")

    def most_memory(self) -> int:
        """Return the most MiB that it ever had."""
        status = Path(f"/proc/{self._child.pid}/status").read_text("utf-8")
        found = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(found.split()[1]) // 1024

    def stop(self) -> None:
        """Let it do nothing at all until `go_on`."""
        self._child.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on as if nothing had been."""
        self._child.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._child.kill()
        self._listener.join()
        self._door.shut(self._port)
        self._http.close()


def new_keys() -> dict[str, str]:
    """Return keys for the hosts of one app."""
    return {"master": secrets.token_urlsafe(24), "eventgrid": secrets.token_urlsafe(24)}
