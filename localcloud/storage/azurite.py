"""Azurite, Microsoft's own emulator of Azure Storage, as the disk behind the storage accounts."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import jwt

from localcloud.tokens import ISSUER

_TOOLS = Path(__file__).resolve().parent.parent.parent / ".tools"
_MAIN = _TOOLS / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
_START_SECONDS = 120
_SERVICES = ("blob", "queue", "table")
_LISTENING = re.compile(r"Azurite (\w+) service is successfully listening at \S+:(\d+)")
# It learns its accounts when it starts, and never again.
_ACCOUNTS = tuple(f"localcloud{number:02}" for number in range(24))


class Process:
    """Azurite's process: blob, queue and table services.

    Args:
        folder: Where it runs and writes; there already.
        options: More of its options.
        environment: More of its environment.
        ports: Where it listens, by service; ports that the kernel chooses if not said.
        kept: Whether what it holds is on disk in the folder, for the next process; else in memory.

    Attributes:
        ports: The ports, by service.

    Raises:
        RuntimeError: It is not installed, or did not start.
    """

    def __init__(
        self,
        folder: Path,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        ports: Mapping[str, int] | None = None,
        *,
        kept: bool = False,
    ) -> None:
        node = os.pathsep.join((str(_TOOLS / "node" / "bin"), os.environ.get("PATH", "")))
        program = shutil.which("node", path=node)
        if program is None or not _MAIN.exists():
            raise RuntimeError("Azurite is not installed; run `make .tools/azurite/done`")
        command = [program, str(_MAIN), "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        command += ["--location", str(folder)] if kept else ["--inMemoryPersistence"]
        command += options
        # At port 0 the kernel chooses, so that nobody can take the port before Azurite does.
        for service in _SERVICES:
            command += [f"--{service}Port", str(ports[service] if ports else 0)]
        self._words = folder / "azurite.out"
        with self._words.open("wb") as words:
            self._process = subprocess.Popen(
                command,
                stdout=words,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, **(environment or {})},
            )
        self.ports = self._await()

    def _await(self) -> dict[str, int]:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            ended = self._process.poll() is not None
            words = self._words.read_text(errors="replace")
            ports = {name.lower(): int(port) for name, port in _LISTENING.findall(words)}
            if len(ports) == len(_SERVICES):
                return ports
            if ended or time.monotonic() > deadline:
                self.stop()
                how = "ended by itself" if ended else f"did not listen within {_START_SECONDS} s"
                raise RuntimeError(f"Azurite {how}; it said: {words.strip()[-2000:] or 'nothing'}")
            time.sleep(0.05)

    def pause(self) -> None:
        """Let it answer nothing until `go_on`."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Azurite:
    """One process with so many accounts, each reached by a bearer token.

    It checks neither the signature nor the roles of a token (`--oauth basic`), so who may do what
    is decided in front of it.

    Args:
        folder: For its certificate and what it writes.
        certificate: Files of a certificate and its key for 127.0.0.1.
        authority: File of the CA that issued it.

    Raises:
        RuntimeError: It is not installed, or did not start.
    """

    def __init__(self, folder: Path, certificate: tuple[Path, Path], authority: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--oauth", "basic", "--cert", str(certificate[0]), "--key", str(certificate[1])]
        key = base64.b64encode(secrets.token_bytes(64)).decode()
        accounts = ";".join(f"{account}:{key}" for account in _ACCOUNTS)
        self._free = list(_ACCOUNTS)
        self._process = Process(folder, options, {"AZURITE_ACCOUNTS": accounts})
        self._ports = self._process.ports
        context = ssl.create_default_context(cafile=str(authority))
        self._http = httpx.Client(verify=context, trust_env=False, timeout=60)

    def take(self) -> str:
        """Return the name of an account that nobody has yet.

        Raises:
            RuntimeError: They are all taken.
        """
        if not self._free:
            raise RuntimeError(f"the local cloud has {len(_ACCOUNTS)} storage accounts at most")
        return self._free.pop(0)

    def send(
        self,
        account: str,
        service: str,
        method: str,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes = b"",
    ) -> httpx.Response:
        """Send a request for one of its accounts.

        Args:
            account: The account, one that was taken.
            service: blob, queue or table.
            method: The method.
            target: Path and query as they stand in the request.
            headers: The headers, without Host and Authorization.
            body: The body.
        """
        now = int(time.time())
        claims = {
            "aud": "https://storage.azure.com",
            "iss": ISSUER,
            "iat": now,
            "nbf": now - 60,
            "exp": now + 600,
        }
        token = jwt.encode(claims, "localcloud" * 4, algorithm="HS256")
        # The host names the account, as in Azure.
        host = f"{account}.{service}.core.windows.net".encode()
        if target.startswith(b"/$batch"):
            # The requests inside a batch it only understands with the account in the path.
            local = f"127.0.0.1:{self._ports[service]}".encode()
            body = body.replace(host, local + b"/" + account.encode())
            host, target = local, b"/" + account.encode() + target
        sent = [(b"Host", host), (b"Authorization", b"Bearer " + token.encode()), *headers]
        url = httpx.URL(
            scheme="https", host="127.0.0.1", port=self._ports[service], raw_path=target
        )
        return self._http.send(
            self._http.build_request(method, url, headers=sent, content=body or None)
        )

    def stop(self) -> None:
        """End the process."""
        self._http.close()
        self._process.stop()
