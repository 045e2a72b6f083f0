"""The Azure CLI kept warm: the real one, without the second or two that each start takes.

A process of the CLI's own Python has read its modules, and forks for each command: see server.
What is put on PATH as `az` hands it the command, with its folder, variables and streams: client.
All the processes of a test run share one; the first that needs it starts it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from localcloud.sample import CLI

FOLDER = "REBUILDER_TESTS_AZ"
"""The variable that tells the processes of a test run where the warm CLI is, or is to be."""

_HERE = Path(__file__).parent


def prepare() -> None:
    """Choose its place; to be called by the one process that ends it, before all others start."""
    # Of a short name: a socket's path has 107 bytes at most.
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="az-")


def end() -> None:
    """End it, if anybody has started it."""
    folder = Path(os.environ.pop(FOLDER))
    if (folder / "pid").exists():
        with suppress(ProcessLookupError):
            os.killpg(int((folder / "pid").read_text()), signal.SIGTERM)
    shutil.rmtree(folder)


def started() -> Path:
    """Start it if nobody has; return the folder that has the command `az`."""
    folder = Path(os.environ[FOLDER])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "az").exists():
            _start(folder)
    return folder


def _start(folder: Path) -> None:
    # It ends when another process, which it has started, is ready.
    subprocess.run([CLI / "python", "-PWignore", _HERE / "server.py", folder], check=True)
    # Isolated and without site packages the client starts in 15 ms.
    client = f"{sys.executable} -IS {_HERE / 'client.py'} {folder / 'socket'}"
    (folder / "az").write_text(f'#!/bin/sh\nexec {client} "$@"\n')
    (folder / "az").chmod(0o755)
