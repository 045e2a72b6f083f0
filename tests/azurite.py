"""Azurite, Microsoft's own emulator of Azure Storage, with the account that everybody knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from localcloud.storage.azurite import Process

# The same for everybody; learn.microsoft.com, "Connect to Azurite".
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_SERVICES = ("blob", "queue", "table")
_IDLE_SECONDS = 600


class Azurite:
    """Azurite's process: blob, queue and table services.

    Args:
        folder: Where it runs.
        ports: Where it listens, by service; free ports if not said.
        environment: More of its environment.
        kept: Whether what it holds is on disk in the folder, for the next process; else in memory.
    """

    def __init__(
        self,
        folder: Path,
        ports: Mapping[str, int] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        kept: bool = False,
    ) -> None:
        # By itself it closes what was idle for 5 s, now and then under a request.
        idle = [f"--{service}KeepAliveTimeout={_IDLE_SECONDS}" for service in _SERVICES]
        self._process = Process(folder, idle, environment, ports, kept=kept)

    @property
    def ports(self) -> dict[str, int]:
        """Where it listens, by service."""
        return self._process.ports

    @property
    def connection_string(self) -> str:
        """The connection string of its one account."""
        endpoints = "".join(
            f"{service.capitalize()}Endpoint=http://127.0.0.1:{port}/devstoreaccount1;"
            for service, port in self._process.ports.items()
        )
        return (
            "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
            f"AccountKey={_KEY};{endpoints}"
        )

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Let it take connections and answer nothing for a while."""
        self._process.pause()
        try:
            yield
        finally:
            self._process.go_on()

    def stop(self) -> None:
        """End the process."""
        self._process.stop()
