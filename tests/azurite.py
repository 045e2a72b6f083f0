"""Azurite, Microsoft's own emulator of Azure Storage, on free ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_MAIN = ROOT / ".tools" / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
_START_SECONDS = 60

# The same for everybody; learn.microsoft.com, "Connect to Azurite".
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Azurite:
    """Azurite's process: blob, queue and table services in memory."""

    def __init__(self, folder: Path) -> None:
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        self._ports = [int(s.getsockname()[1]) for s in sockets]
        for held in sockets:
            held.close()
        blob, queue, table = map(str, self._ports)
        node = os.pathsep.join((str(ROOT / ".tools" / "node" / "bin"), os.environ.get("PATH", "")))
        program = shutil.which("node", path=node)
        if program is None or not _MAIN.exists():
            raise RuntimeError("Azurite is not installed; run `make .tools/azurite/done`")
        command = [program, str(_MAIN), "--silent", "--inMemoryPersistence", "--disableTelemetry"]
        command += ["--skipApiVersionCheck"]
        command += ["--blobPort", blob, "--queuePort", queue, "--tablePort", table]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder)
        deadline = time.monotonic() + _START_SECONDS
        for port in self._ports:
            while not _answers(port):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError("Azurite did not start")
                time.sleep(0.05)

    @property
    def connection_string(self) -> str:
        """The connection string of its one account."""
        blob, queue, table = self._ports
        return (
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{blob}/devstoreaccount1;"
            f"QueueEndpoint=http://127.0.0.1:{queue}/devstoreaccount1;"
            f"TableEndpoint=http://127.0.0.1:{table}/devstoreaccount1;"
        )

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
