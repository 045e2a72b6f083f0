"""Microsoft's Python worker (PyPI azure-functions-runtime 1.3.0), run in this process.

The only file that touches the worker's private names; the version is pinned in pyproject.toml.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import uuid
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

from localcloud.network import Loop

log = logging.getLogger(__name__)

_SCRIPT = "function_app"


@dataclass(frozen=True, slots=True)
class Function:
    """A function as the worker indexed it."""

    name: str
    function_id: str
    bindings: tuple[Mapping[str, Any], ...]

    @property
    def trigger(self) -> Mapping[str, Any]:
        """The trigger's raw binding."""
        return next(b for b in self.bindings if str(b["type"]).lower().endswith("trigger"))


@dataclass(frozen=True, slots=True)
class Result:
    """How an invocation ended."""

    ok: bool
    value: Any
    error: str | None


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
        registry = handle_event._functions  # noqa: SLF001 - see the module's docstring
        registry.__init__()  # forget an app of an earlier start
        indexed = loader.index_function_app(f"{_SCRIPT}.py")
        records, _ = loader.process_indexed_function(_Protos, registry, indexed, self._folder)
        return [
            Function(record.name, record.function_id, tuple(map(json.loads, record.raw_bindings)))
            for record in records
        ]

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
        data: Any,  # noqa: ANN401 - whatever the trigger's type has
        data_type: str,
        metadata: Mapping[str, tuple[Any, str]] | None = None,
        invocation_id: str | None = None,
    ) -> Future[Result]:
        """Invoke a function.

        Args:
            function: The function.
            data: The trigger's data.
            data_type: The data's type, as the worker calls it: json, string, bytes, http.
            metadata: The trigger's metadata: value and type by name.
            invocation_id: The invocation's id; made up if absent.
        """
        inputs = [(str(function.trigger["name"]), Datum(data, data_type))]
        known = {name: Datum(value, kind) for name, (value, kind) in (metadata or {}).items()}
        return asyncio.run_coroutine_threadsafe(
            self._invoke(invocation_id or str(uuid.uuid4()), function, inputs, known),
            self._loop.loop,
        )

    async def _invoke(
        self,
        invocation_id: str,
        function: Function,
        inputs: list[tuple[str, Datum]],
        metadata: dict[str, Datum],
    ) -> Result:
        ok, value, _, error, _ = await native_invocation.invocation_request_native(
            invocation_id, function.function_id, inputs, metadata
        )
        return Result(ok, value, error)


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


def http_response(value: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: ANN401 - a Datum
    """Return status, headers and body of what an HTTP function returned."""
    parts = value.value
    if value.type != "http":
        return 200, {}, parts.encode() if isinstance(parts, str) else bytes(parts)
    body = parts["body"].value if parts.get("body") is not None else b""
    headers = {name: str(header.value) for name, header in parts["headers"].items()}
    content = body.encode() if isinstance(body, str) else bytes(body or b"")
    return int(parts["status_code"].value), headers, content
