"""The host: reads host.json, starts the worker, the listeners and the HTTP endpoints."""

from __future__ import annotations

import logging
import os
import secrets
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from localcloud.functionshost import http
from localcloud.functionshost.queues import QueuePump, QueueService, open_service
from localcloud.functionshost.settings import (
    HostError,
    HostSettings,
    connection,
    disabled,
    read_host_json,
    resolve,
)
from localcloud.functionshost.timers import Schedule, Timer
from localcloud.functionshost.worker import Function, Result, Worker
from localcloud.network import Loop, Server

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Invocation:
    """An invocation that ended.

    Attributes:
        function: The function's name.
        invocation_id: The invocation's id.
        result: How it ended.
    """

    function: str
    invocation_id: str
    result: Result


class FunctionsHost:
    """Runs one function app in this process, one host at a time.

    Args:
        folder: The app: function_app.py and host.json.
        settings: The app settings; they are in os.environ while the host runs.
        data: Where timers remember their last run; by default `.rebuilder/host` in the app.
        on_invocation: Told of every invocation when it has ended.
        require_keys: Whether keys are asked for, as in Azure; `func start` asks for none.
        now: Local time, for timers.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str],
        *,
        data: Path | None = None,
        on_invocation: Callable[[Invocation], None] | None = None,
        require_keys: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self.folder = folder
        self.settings = dict(settings)
        self.master_key = secrets.token_urlsafe(24)
        self.eventgrid_key = secrets.token_urlsafe(24)
        self.function_key = secrets.token_urlsafe(24)
        self.require_keys = require_keys
        self.state = "Default"
        self.errors: list[str] = []
        self.functions: dict[str, Function] = {}
        self.host_settings: HostSettings | None = None
        self.url = ""
        self._data = data or folder / ".rebuilder" / "host"
        self._on_invocation = on_invocation
        self._now = now
        self._worker = Worker(folder)
        self._worker_started = False
        self._loop = Loop("functions-http")
        self._server: Server | None = None
        self._listeners: list[QueuePump | Timer] = []
        self._services: dict[str, QueueService] = {}
        self._environment: dict[str, str | None] = {}

    def start(self) -> None:
        """Start; a host that cannot run the app answers in state Error, as the real one does."""
        self._environment = {name: os.environ.get(name) for name in self.settings}
        os.environ.update(self.settings)
        self.errors.clear()
        self.functions.clear()
        self._worker_started = False
        self._loop.start()
        self._server = Server(self._loop, http.make_app(self))
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.port}"
        try:
            self.host_settings = read_host_json(self.folder, self.settings)
        except HostError as error:
            self._fail(str(error))
            return
        self._load()
        for function in self.functions.values():
            if not self.is_disabled(function.name):
                self._listen(function)
        self.state = "Running"
        for listener in self._listeners:
            listener.start()
        log.info("host started with %s functions at %s", len(self.functions), self.url)

    def _fail(self, error: str) -> None:
        log.error("host: %s", error)
        self.errors.append(error)
        self.state = "Error"

    def _load(self) -> None:
        self._worker_started = True
        try:
            functions = self._worker.start()
        except Exception as error:
            # The real host logs this and runs on without functions.
            log.exception("worker: the app could not be indexed")
            self.errors.append(f"{type(error).__name__}: {error}")
            return
        self.functions = {function.name: function for function in functions}

    def _listen(self, function: Function) -> None:
        trigger, kind = function.trigger, function.trigger["type"]
        try:
            if kind == "queueTrigger":
                self._listeners.append(self._pump(function))
            elif kind == "timerTrigger":
                schedule = Schedule.parse(resolve(str(trigger["schedule"]), self.settings))
                self._listeners.append(
                    Timer(
                        function.name,
                        schedule,
                        lambda payload: self.invoke(function, payload, "json"),
                        self._now,
                        self._data / "timers",
                        use_monitor=bool(trigger.get("useMonitor", True)),
                        run_on_startup=bool(trigger.get("runOnStartup")),
                    )
                )
        except HostError as error:
            # Only this function is off; the others run.
            log.error("function %s: %s", function.name, error)  # noqa: TRY400 - no trace is needed
            self.errors.append(f"The '{function.name}' function is in error: {error}")

    def _pump(self, function: Function) -> QueuePump:
        trigger = function.trigger
        name = str(trigger.get("connection") or "")
        text, parts = connection(resolve(name, self.settings), self.settings)
        if name not in self._services:
            self._services[name] = open_service(text, parts)
        queue = resolve(str(trigger["queueName"]), self.settings)
        if self.host_settings is None:
            raise HostError("host.json was not read")

        def run(body: str, metadata: dict[str, tuple[Any, str]]) -> Future[Result]:
            return self.invoke(function, body, "string", metadata)

        return QueuePump(queue, self._services[name], self.host_settings.queues, run)

    def is_disabled(self, name: str) -> bool:
        """Tell whether a setting switches a function off."""
        return disabled(name, self.settings)

    def invoke(
        self,
        function: Function,
        data: Any,  # noqa: ANN401 - whatever the trigger's type has
        data_type: str,
        metadata: Mapping[str, tuple[Any, str]] | None = None,
    ) -> Future[Result]:
        """Invoke a function, whatever its trigger."""
        invocation_id = str(uuid.uuid4())
        log.info("Executing 'Functions.%s' (Id=%s)", function.name, invocation_id)
        future = self._worker.invoke(function, data, data_type, metadata, invocation_id)
        future.add_done_callback(lambda done: self._ended(function, invocation_id, done))
        return future

    def _ended(self, function: Function, invocation_id: str, done: Future[Result]) -> None:
        if done.cancelled():
            return
        result = done.result()
        if result.ok:
            log.info("Executed 'Functions.%s' (Succeeded, Id=%s)", function.name, invocation_id)
        else:
            log.error(
                "Executed 'Functions.%s' (Failed, Id=%s): %s",
                function.name,
                invocation_id,
                result.error,
            )
        if self._on_invocation is not None:
            self._on_invocation(Invocation(function.name, invocation_id, result))

    def eventgrid_url(self, function: str) -> str:
        """Return the webhook of an Event Grid function, with its key."""
        return (
            f"{self.url}/runtime/webhooks/eventgrid?functionName={function}"
            f"&code={self.eventgrid_key}"
        )

    def stop(self) -> None:
        """Stop the listeners, let running functions end, close every port and connection."""
        if self._server is None:
            return
        self.state = "Stopping"
        for listener in self._listeners:
            listener.stop()
        self._loop.run(self._server.stop())
        self._server = None
        if self._worker_started:
            self._worker.stop()
        self._loop.stop()
        for service in self._services.values():
            service.close()
        self._listeners.clear()
        self._services.clear()
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self.state = "Stopped"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
