"""Microsoft's Python worker (PyPI azure-functions-runtime 1.3.0), run in this process.

The only file that touches the worker's private names; the version is pinned in pyproject.toml.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from azure_functions_runtime import handle_event, loader, native_invocation
from azure_functions_runtime.bindings import meta
from azure_functions_runtime.bindings.datumdef import Datum
from azure_functions_runtime.utils import threadpool

from localcloud.functionshost.settings import Retry
from localcloud.network import Loop

log = logging.getLogger(__name__)

_SCRIPT = "function_app"

type Typed = tuple[Any, str]
"""A value and its type, as the worker calls it: json, string, bytes, http."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function as the worker indexed it."""

    name: str
    function_id: str
    bindings: tuple[Mapping[str, Any], ...]
    retry: Retry | None = None

    @property
    def trigger(self) -> Mapping[str, Any]:
        """The trigger's raw binding."""
        return next(b for b in self.bindings if str(b["type"]).lower().endswith("trigger"))

    @property
    def kind(self) -> str:
        """The trigger's type in lower case."""
        return str(self.trigger["type"]).lower()


@dataclass(frozen=True, slots=True)
class Result:
    """How an invocation ended.

    Attributes:
        ok: Whether the function returned.
        value: What an HTTP function returned, for http_response.
        error: What it raised.
        outputs: What it set its output bindings to, by their names.
    """

    ok: bool
    value: Any
    error: str | None
    outputs: Mapping[str, Typed]


def failed(error: str) -> Result:
    """Return the result of an invocation that failed."""
    return Result(ok=False, value=None, error=error, outputs={})


class _Protos:
    """Stand-in for the worker's protobuf messages: records with the same field names."""

    class BindingInfo(SimpleNamespace):
        """A binding; the directions are the protobuf enumeration's."""

        undefined, out, inout = 0, 1, 2

        def __init__(self, **values: object) -> None:
            super().__init__(**values)

    RpcFunctionMetadata = SimpleNamespace
    RpcRetryOptions = SimpleNamespace


# `in` is a keyword, so it cannot be written in the class above.
setattr(_Protos.BindingInfo, "in", 0)


class Worker:
    """Indexes one function app and invokes its functions."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder.resolve())
        self._loop = Loop("functions-worker")

    def start(self) -> list[Function]:
        """Import and index the app.

        Raises:
            Exception: Whatever the app's code raises when it is imported.
        """
        self._loop.start()
        threadpool.start_threadpool_executor()
        meta.load_binding_registry()
        sys.path.insert(0, self._folder)
        sys.modules.pop(_SCRIPT, None)
        importlib.invalidate_caches()
        registry = handle_event._functions  # noqa: SLF001 - see the module's docstring
        registry.__init__()  # forget an app of an earlier start
        indexed = loader.index_function_app(f"{_SCRIPT}.py")
        records, _ = loader.process_indexed_function(_Protos, registry, indexed, self._folder)
        return [
            Function(
                record.name,
                record.function_id,
                tuple(map(json.loads, record.raw_bindings)),
                _retry(record.retry_options),
            )
            for record in records
        ]

    def abandon(self) -> None:
        """Take a new thread pool; what still runs in the old one cannot be ended, only left."""
        threadpool.start_threadpool_executor()

    def stop(self) -> None:
        """End the worker; running functions end first."""
        threadpool.stop_threadpool_executor()
        self._loop.stop()
        sys.modules.pop(_SCRIPT, None)
        if self._folder in sys.path:
            sys.path.remove(self._folder)

    def invoke(
        self,
        function: Function,
        data: Typed,
        metadata: Mapping[str, Typed],
        invocation_id: str,
        repetition: int = 0,
        most: int = 0,
    ) -> Future[Result]:
        """Invoke a function.

        Args:
            function: The function.
            data: The trigger's data.
            metadata: The trigger's metadata by name.
            invocation_id: The invocation's id.
            repetition: How often a retry policy has repeated the run before.
            most: How often it may.
        """
        return asyncio.run_coroutine_threadsafe(
            self._invoke(function, data, metadata, invocation_id, repetition, most),
            self._loop.loop,
        )

    async def _invoke(
        self,
        function: Function,
        data: Typed,
        metadata: Mapping[str, Typed],
        invocation_id: str,
        repetition: int,
        most: int,
    ) -> Result:
        ok, value, outputs, error, _ = await native_invocation.invocation_request_native(
            invocation_id,
            function.function_id,
            [(str(function.trigger["name"]), Datum(*data))],
            {name: Datum(*typed) for name, typed in metadata.items()},
            retry_count=repetition,
            max_retry_count=most,
        )
        typed = {name: (datum.value, datum.type) for name, datum in outputs}
        if value is not None:
            typed["$return"] = (value.value, value.type)
        return Result(ok, value, error, typed)


def _retry(options: SimpleNamespace | None) -> Retry | None:
    if options is None:
        return None
    if options.retry_strategy == "fixed_delay":
        return Retry(options.max_retry_count, options.delay_interval)
    return Retry(options.max_retry_count, options.minimum_interval, options.maximum_interval)


def http_request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    params: Mapping[str, str],
    body: bytes,
) -> dict[str, Any]:
    """Return an HTTP request as the worker takes it, for data of type `http`."""

    def texts(values: Mapping[str, str]) -> dict[str, Datum]:
        return {name: Datum(value, "string") for name, value in values.items()}

    return {
        "method": Datum(method, "string"),
        "url": Datum(url, "string"),
        "headers": texts(headers),
        "query": texts(query),
        "params": texts(params),
        "body": Datum(body, "bytes"),
    }


def http_response(value: Any) -> tuple[int, list[tuple[str, str]], bytes]:  # noqa: ANN401 - a Datum
    """Return status, headers and body of what an HTTP function returned."""
    if value.type != "http":
        text = value.value if isinstance(value.value, str) else json.dumps(value.value)
        return 200, [("content-type", "text/plain; charset=utf-8")], text.encode()
    parts = value.value
    headers = [(name, str(header.value)) for name, header in parts["headers"].items()]
    for cookies in parts["cookies"] or ():
        headers += [("set-cookie", cookie.OutputString()) for cookie in cookies.values()]
    return int(parts["status_code"].value), headers, bytes(parts["body"].value)
