"""The host: reads host.json, starts the worker, the listeners and the HTTP endpoints."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Self

from localcloud.functionshost import http
from localcloud.functionshost.queues import QueuePump, QueueService, encode, messages, open_service
from localcloud.functionshost.settings import (
    HostError,
    HostSettings,
    connection,
    disabled,
    read_host_json,
    resolve,
)
from localcloud.functionshost.timers import Schedule, Timer
from localcloud.functionshost.worker import Function, Result, Typed, Worker, failed
from localcloud.network import Loop, Server

log = logging.getLogger(__name__)

_GRACE_SECONDS = 10.0  # what the platform gives, too: WebJobsScriptHostService
_TRIGGERS = frozenset({"eventgridtrigger", "queuetrigger", "timertrigger", "httptrigger"})
_OUTPUTS = frozenset({"http", "queue"})


@dataclass(frozen=True, slots=True)
class Invocation:
    """An invocation that ended.

    Attributes:
        function: The function's name.
        invocation_id: The invocation's id.
        result: How it ended.
        trigger: What caused it, in a few words, with ids.
    """

    function: str
    invocation_id: str
    result: Result
    trigger: str


class FunctionsHost:
    """Runs one function app in this process, one host at a time.

    Args:
        folder: The app: function_app.py and host.json.
        settings: The app settings; they are in os.environ while the host runs.
        data: Where timers remember their last run; by default `.rebuilder/host` in the app.
        on_invocation: Told of every invocation when it has ended, on the host's own thread.
        require_keys: Whether keys are asked for, as in Azure; `func start` asks for none.
        now: Local time, for timers.

    Attributes:
        master_key: Opens everything.
        eventgrid_key: The system key `eventgrid_extension`.
        function_key: The host key `default`, which opens every HTTP function of level function.
        state: Default, Running, Error, Stopping or Stopped.
        errors: What keeps the host or single functions from running.
        functions: The functions that can run, disabled ones too, by name.
        url: The address, once started.
    """

    _one: ClassVar[threading.Lock] = threading.Lock()

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
        self._loop: Loop | None = None
        self._worker: Worker | None = None
        self._server: Server | None = None
        self._listeners: list[QueuePump | Timer] = []
        self._services: dict[str, QueueService] = {}
        self._environment: dict[str, str | None] = {}
        self._changed = threading.Condition()
        self._active: set[Future[Result]] = set()
        self._begun = 0  # invocations ever begun
        self._closed = False
        self._worker_lost: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Start; a host that cannot run the app answers in state Error, as the real one does.

        Raises:
            RuntimeError: Another host runs in this process.
        """
        if not self._one.acquire(blocking=False):
            raise RuntimeError("a Functions host runs in this process already")
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self._loop = Loop("functions-host")
        self.state, self._closed = "Default", False
        self.errors.clear()
        self._environment = {name: os.environ.get(name) for name in self.settings}
        os.environ.update(self.settings)
        self._loop.start()
        self._server = Server(self._loop, http.make_app(self))
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.port}"
        try:
            self.host_settings = read_host_json(self.folder, self.settings)
        except HostError as error:
            log.error("host: %s", error)  # noqa: TRY400 - the message says it all
            self.errors.append(str(error))
            self.state = "Error"
            return
        self.functions = {f.name: f for f in self._load() if self._listen(f)}
        self.state = "Running"
        for listener in self._listeners:
            listener.start()
        log.info("host started with %s functions at %s", len(self.functions), self.url)

    def _load(self) -> list[Function]:
        self._worker = Worker(self.folder)
        try:
            return self._worker.start()
        except (Exception, SystemExit) as error:
            # The real host logs this and runs on without functions.
            log.exception("worker: the app could not be indexed")
            self.errors.append(f"{type(error).__name__}: {error}")
            return []

    def _listen(self, function: Function) -> bool:
        """Make a function's listener; tell whether the function can run."""
        try:
            self._check(function)
            if self.is_disabled(function.name):
                log.info("function %s is disabled", function.name)
            elif function.kind == "queuetrigger":
                self._listeners.append(self._pump(function))
            elif function.kind == "timertrigger":
                self._listeners.append(self._timer(function))
        except HostError as error:
            # Only this function is off; the others run.
            log.error("function %s: %s", function.name, error)  # noqa: TRY400 - the message says all
            self.errors.append(f"The '{function.name}' function is in error: {error}")
            return False
        return True

    def _check(self, function: Function) -> None:
        if function.kind not in _TRIGGERS:
            raise HostError(f"this host has no trigger {function.trigger['type']}")
        for binding in function.bindings:
            if binding is function.trigger:
                continue
            if str(binding["type"]).lower() not in _OUTPUTS or binding["direction"] != "OUT":
                raise HostError(f"this host has no binding {binding['type']}")
            if binding["type"].lower() == "queue":
                resolve(str(binding["queueName"]), self.settings)
                self._service(binding)
        if function.kind == "httptrigger":
            http.route_pattern(function)

    def _service(self, binding: Mapping[str, object]) -> QueueService:
        name = resolve(str(binding.get("connection") or ""), self.settings)
        if name not in self._services:
            self._services[name] = open_service(*connection(name, self.settings))
        return self._services[name]

    def _pump(self, function: Function) -> QueuePump:
        queue = resolve(str(function.trigger["queueName"]), self.settings)

        def run(body: str, metadata: Mapping[str, Typed]) -> Future[Result]:
            trigger = f"message {metadata['Id'][0]} of queue {queue}"
            return self.invoke(function, (body, "string"), metadata, trigger=trigger)

        options = self._host_settings().queues
        return QueuePump(queue, self._service(function.trigger), options, run)

    def _timer(self, function: Function) -> Timer:
        trigger = function.trigger
        return Timer(
            function.name,
            Schedule.parse(resolve(str(trigger["schedule"]), self.settings)),
            lambda payload: self.invoke(function, (payload, "json"), trigger="timer"),
            self._now,
            self._data / "timers",
            use_monitor=bool(trigger.get("useMonitor", True)),
            run_on_startup=bool(trigger.get("runOnStartup")),
        )

    def _host_settings(self) -> HostSettings:
        if self.host_settings is None:
            raise HostError("host.json was not read")
        return self.host_settings

    def is_disabled(self, name: str) -> bool:
        """Tell whether a setting switches a function off."""
        return disabled(name, self.settings)

    def invoke(
        self,
        function: Function,
        data: Typed,
        metadata: Mapping[str, Typed] | None = None,
        *,
        trigger: str,
    ) -> Future[Result]:
        """Invoke a function, again if its retry policy says so; return how it ended at last.

        Raises:
            HostError: The host has stopped.
        """
        with self._changed:
            if self._loop is None or self._closed:
                raise HostError("the host has stopped")
            work = self._execute(function, data, metadata or {}, trigger)
            future = asyncio.run_coroutine_threadsafe(work, self._loop.loop)
            self._active.add(future)
            self._begun += 1
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: Future[Result]) -> None:
        with self._changed:
            self._active.discard(future)
            self._changed.notify_all()

    async def _execute(
        self, function: Function, data: Typed, metadata: Mapping[str, Typed], trigger: str
    ) -> Result:
        policy = function.retry or self._host_settings().retry
        most = policy.most if policy else 0
        repetition = 0
        while True:
            result = await self._run(function, data, metadata, trigger, repetition, most)
            over = result.ok or repetition == most or self.state != "Running"
            if policy is None or over:
                return result
            await asyncio.sleep(policy.pause(repetition).total_seconds())
            repetition += 1

    async def _run(
        self,
        function: Function,
        data: Typed,
        metadata: Mapping[str, Typed],
        trigger: str,
        repetition: int,
        most: int,
    ) -> Result:
        name, invocation_id = function.name, str(uuid.uuid4())
        log.info("Executing 'Functions.%s' (%s, Id=%s)", name, trigger, invocation_id)
        result = await self._in_time(function, data, metadata, invocation_id, repetition, most)
        if result.ok:
            result = await asyncio.to_thread(self._send_outputs, function, result)
        if result.ok:
            log.info("Executed 'Functions.%s' (Succeeded, Id=%s)", name, invocation_id)
        else:
            log.error(
                "Executed 'Functions.%s' (Failed, Id=%s): %s", name, invocation_id, result.error
            )
        if self._on_invocation is not None:
            try:
                self._on_invocation(Invocation(name, invocation_id, result, trigger))
            except Exception:
                log.exception("on_invocation failed (Id=%s)", invocation_id)
        return result

    async def _in_time(
        self,
        function: Function,
        data: Typed,
        metadata: Mapping[str, Typed],
        invocation_id: str,
        repetition: int,
        most: int,
    ) -> Result:
        """Run until functionTimeout; then the worker starts anew and its other runs fail too."""
        if self._worker is None:
            raise HostError("the worker was not started")
        if self._worker_lost is None or self._worker_lost.done():
            self._worker_lost = asyncio.get_running_loop().create_future()
        lost = self._worker_lost
        running = asyncio.wrap_future(
            self._worker.invoke(function, data, metadata, invocation_id, repetition, most)
        )
        limit = self._host_settings().function_timeout
        seconds = limit.total_seconds() if limit else None
        try:
            either: set[asyncio.Future[Any]] = {running, lost}
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
        finally:
            running.cancel()
        if lost.done():
            return failed("the worker was started anew while the function ran")
        lost.set_result(None)
        self._worker.abandon()
        return failed(f"Timeout value of {limit} exceeded by function 'Functions.{function.name}'")

    def _send_outputs(self, function: Function, result: Result) -> Result:
        """Send what the function gave to its queues; a failure is the function's."""
        options = self._host_settings().queues
        try:
            for binding in function.bindings:
                typed = result.outputs.get(str(binding["name"]))
                if str(binding["type"]).lower() == "queue" and typed is not None:
                    service = self._service(binding)
                    queue = resolve(str(binding["queueName"]), self.settings)
                    for text in messages(typed):
                        service.send(queue, encode(service, options, text))
        except Exception as error:  # noqa: BLE001 - whatever it was, the run has failed
            return failed(f"output: {type(error).__name__}: {error}")
        return result

    def eventgrid_url(self, function: str) -> str:
        """Return the webhook of an Event Grid function, with its key."""
        return (
            f"{self.url}/runtime/webhooks/eventgrid?functionName={function}"
            f"&code={self.eventgrid_key}"
        )

    def wait_idle(self, seconds: float) -> bool:
        """Wait until no invocation runs and no trigger queue holds a visible message.

        Messages that are delayed or hidden after a failure are not waited for.

        Returns:
            Whether that came in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: not self._active, _until(deadline)):
                    return False
                begun = self._begun
            pumps = [each for each in self._listeners if isinstance(each, QueuePump)]
            if not all(pump.wait_empty(_until(deadline)) for pump in pumps):
                return False
            with self._changed:
                if not self._active and self._begun == begun:
                    return True

    def drain(self) -> None:
        """Take no more messages and timers; what runs goes on."""
        for listener in self._listeners:
            listener.halt()

    def stop(self, grace: float = _GRACE_SECONDS) -> None:
        """Stop the listeners, let running functions end, close every port and connection.

        The message of a function that does not end in time comes again when its hiding is over.

        Args:
            grace: Seconds that running functions get.
        """
        if self._loop is None:
            return
        self.state = "Stopping"
        self.drain()
        deadline = time.monotonic() + grace
        over = [listener.join(_until(deadline)) for listener in self._listeners]
        with self._changed:
            over.append(self._changed.wait_for(lambda: not self._active, _until(deadline)))
            self._closed = True
            late = list(self._active)
        if not all(over):
            log.warning("%s invocations did not end in %s s and are left", len(late), grace)
            for future in late:
                future.cancel()
            if self._worker is not None:
                self._worker.abandon()
            for listener in self._listeners:
                listener.join(None)
        self._close()

    def _close(self) -> None:
        if self._server is not None and self._loop is not None:
            self._loop.run(self._server.stop())
        if self._worker is not None:
            self._worker.stop()
        if self._loop is not None:
            self._loop.stop()
        for service in self._services.values():
            service.close()
        self._server, self._worker, self._loop, self._worker_lost = None, None, None, None
        self._listeners.clear()
        self._services.clear()
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self.state = "Stopped"
        self._one.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _until(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
