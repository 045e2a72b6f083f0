"""A record of what ARM is asked and what it answers: a line of JSON for each exchange."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

from localcloud.arm.model import Exchange

RECORD = "LOCALCLOUD_RECORD"
"""The variable that names the file; for tests, for bodies may hold secrets."""


def recorder(path: Path) -> Callable[[Exchange], None]:
    """Return what writes exchanges at the end of a file that only its owner may read."""
    lock = threading.Lock()

    def record(exchange: Exchange) -> None:
        line = json.dumps(exchange._asdict()) + "\n"
        with lock, open(path, "a", encoding="utf-8", opener=_private) as file:
            file.write(line)

    return record


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
