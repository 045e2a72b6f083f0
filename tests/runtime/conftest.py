from __future__ import annotations

import json
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from localcloud.functionshost import FunctionsHost, Invocation

FAST = {"AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:00.1"}


class App:
    """A small function app and the host that runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ended: list[Invocation] = []
        self.host: FunctionsHost | None = None
        self._lock = threading.Lock()
        self.host_json: dict[str, Any] = {"version": "2.0"}

    def start(
        self,
        code: str,
        settings: Mapping[str, str] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> FunctionsHost:
        """Write function_app.py and host.json and start them."""
        head = "import azure.functions as func\nimport logging\napp = func.FunctionApp()\n"
        (self.folder / "function_app.py").write_text(head + textwrap.dedent(code))
        (self.folder / "host.json").write_text(json.dumps(self.host_json))
        every = {**FAST, "FUNCTIONS_WORKER_RUNTIME": "python", **(settings or {})}
        self.host = FunctionsHost(
            self.folder, every, data=self.folder / "data", on_invocation=self._end, **options
        )
        self.host.start()
        return self.host

    def _end(self, invocation: Invocation) -> None:
        with self._lock:
            self.ended.append(invocation)

    def stop(self) -> None:
        """Stop the host, if it runs."""
        if self.host is not None:
            self.host.stop()

    def count(self, function: str = "") -> int:
        """Return how many invocations have ended."""
        with self._lock:
            return sum(1 for i in self.ended if function in ("", i.function))

    def post(self, function: str, body: object, **changes: Any) -> httpx.Response:  # noqa: ANN401
        """Deliver to the Event Grid webhook, with its key unless told otherwise."""
        assert self.host is not None
        options: dict[str, Any] = {
            "headers": {"aeg-event-type": "Notification"},
            "params": {"functionName": function, "code": self.host.eventgrid_key},
            "method": "POST",
            "path": "/runtime/webhooks/eventgrid",
            **changes,
        }
        method, path = options.pop("method"), options.pop("path")
        with httpx.Client(trust_env=False, timeout=30) as http:
            return http.request(method, self.host.url + path, json=body, **options)


@pytest.fixture(name="app")
def _app(tmp_path: Path) -> Iterator[App]:
    app = App(tmp_path)
    yield app
    app.stop()


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
