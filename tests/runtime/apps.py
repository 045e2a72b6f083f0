"""Small function apps for the tests of the host, and what their functions tell the test."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localcloud.functionshost import FunctionsHost
from tests.patience import SECONDS

_HEAD = """
import azure.functions as func
from tests.runtime.apps import probe
app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
"""
FAST = {"maxPollingInterval": "00:00:00.1"}


class Probe:
    """What functions said, and a gate at which they can be made to wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.said: list[Any] = []
        self.gate = threading.Event()

    def reset(self) -> None:
        """Forget, and close the gate."""
        with self._changed:
            self.said.clear()
        self.gate.clear()

    def say(self, what: object) -> None:
        """Tell the test."""
        with self._changed:
            self.said.append(what)
            self._changed.notify_all()

    def wait(self, count: int) -> list[Any]:
        """Wait until functions have said so many things; return them."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.said) >= count, SECONDS), self.said
            return list(self.said)

    def hold(self) -> None:
        """Wait for the test to open the gate."""
        assert self.gate.wait(SECONDS)


probe = Probe()


def write(folder: Path, code: str, host: object = None) -> Path:
    """Write an app; `host` is its host.json, by default one that polls fast."""
    folder.mkdir(parents=True, exist_ok=True)
    # Bytecode is as good as its source by second and size, and one app may follow another at once.
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    (folder / "function_app.py").write_text(_HEAD + code)
    content = {"version": "2.0", "extensions": {"queues": FAST}} if host is None else host
    (folder / "host.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@contextmanager
def running(
    folder: Path,
    code: str,
    settings: Mapping[str, str] | None = None,
    *,
    host: object = None,
    **options: Any,  # noqa: ANN401 - FunctionsHost's own options
) -> Iterator[FunctionsHost]:
    """Run an app; what its functions said before is forgotten."""
    probe.reset()
    with FunctionsHost(write(folder, code, host), settings or {}, **options) as started:
        try:
            yield started
        finally:
            probe.gate.set()
