"""An OTLP collector: takes traces, metrics and logs as protobuf by HTTP, and keeps them."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """A collector on a free port of 127.0.0.1.

    Attributes:
        spans: The spans that came, with the service that sent each.
        metrics: The newest state of each metric, by name.
        lines: The records of the log that came.
        paths: What was posted to.
    """

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        self.metrics: dict[str, Metric] = {}
        self.lines: list[LogRecord] = []
        self.paths: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, path: str, body: bytes) -> None:
        """Keep what was sent."""
        self.paths.add(path)
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _text(resource.resource.attributes, "service.name")
                for scope in resource.scope_spans:
                    self.spans += [(service, span) for span in scope.spans]
        elif path == "/v1/logs":
            for resource_logs in ExportLogsServiceRequest.FromString(body).resource_logs:
                for logs in resource_logs.scope_logs:
                    self.lines += logs.log_records
        else:
            for resource_metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for metrics in resource_metrics.scope_metrics:
                    self.metrics |= {metric.name: metric for metric in metrics.metrics}

    def ancestors(self, span: Span) -> Iterator[Span]:
        """Go from a span up to the root of its trace."""
        by_id = {found.span_id: found for _, found in self.spans}
        while span := by_id.get(span.parent_span_id):  # type: ignore[assignment] # None ends it
            yield span


def told(span: Span | LogRecord) -> dict[str, Any]:
    """Return the attributes of a span, or of a line."""
    return {entry.key: entry.value.string_value for entry in span.attributes}


def _text(attributes: Any, key: str) -> str:  # noqa: ANN401 - a repeated field of protobuf's
    return next(str(entry.value.string_value) for entry in attributes if entry.key == key)
