"""Where spans, metrics and records of the log go: Azure Monitor, an OTLP collector, or nowhere.

`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES` and the other
variables of OpenTelemetry's SDK mean here what they mean everywhere (opentelemetry.io, "SDK
Configuration"). Where neither is asked for, nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rebuilder.telemetry import azure_monitor, signals

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.sampling import Sampler

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_METRICS = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
_LOGS = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"
_SAMPLER = "OTEL_TRACES_SAMPLER"
_HOSTS_OWN = "microsoft."
_NAME = "OTEL_SERVICE_NAME"
_SERVICE = "acr-rebuilder"


def turn_on(
    env: Mapping[str, str], credential: Callable[[], TokenCredential]
) -> Callable[[], None] | None:
    """Have spans, metrics and records of the log exported, if the environment says where.

    Args:
        env: The environment.
        credential: Gives whom Azure Monitor is shown.

    Returns:
        What sends the rest and ends it; None if nothing is exported.
    """
    spans: list[SpanExporter] = []
    metrics: list[MetricExporter] = []
    logs: list[LogRecordExporter] = []
    if azure_monitor.asked_for(env):
        found = azure_monitor.exporters(env, credential())
        spans, metrics, logs = [found.spans], [found.metrics], [found.logs]
    if _named(env, _TRACES):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )

        spans.append(OTLPSpanExporter())
    if _named(env, _METRICS):
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
            OTLPMetricExporter,
        )

        metrics.append(OTLPMetricExporter())
    if _named(env, _LOGS):
        from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # noqa: PLC0415
            OTLPLogExporter,
        )

        logs.append(OTLPLogExporter())
    return _export(env, spans, metrics, logs) if spans or metrics or logs else None


def _named(env: Mapping[str, str], signal: str) -> bool:
    return any(env.get(name, "").strip() for name in (_ENDPOINT, signal))


def _export(
    env: Mapping[str, str],
    spans: list[SpanExporter],
    metrics: list[MetricExporter],
    logs: list[LogRecordExporter],
) -> Callable[[], None]:
    from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor  # noqa: PLC0415
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    from rebuilder.telemetry.log_records import hand_on  # noqa: PLC0415

    resource = Resource.create({SERVICE_NAME: env.get(_NAME) or _SERVICE})
    tracers = TracerProvider(_sampler(env), resource)
    for exporter in spans:
        tracers.add_span_processor(BatchSpanProcessor(exporter))
    meters = MeterProvider([PeriodicExportingMetricReader(each) for each in metrics], resource)
    loggers = LoggerProvider(resource)
    for record_exporter in logs:
        loggers.add_log_record_processor(BatchLogRecordProcessor(record_exporter))
    no_lines = hand_on(loggers)
    signals.turn_on(tracers.get_tracer("rebuilder"), meters.get_meter("rebuilder"))

    def end() -> None:
        no_lines()
        signals.turn_off()
        tracers.shutdown()
        meters.shutdown()
        loggers.shutdown()

    return end


def _sampler(env: Mapping[str, str]) -> Sampler | None:
    """Return what keeps a part of the traces; None for what the SDK's variable says.

    `microsoft.fixed_percentage` and the like are read by the Functions host alone: they keep its
    own spans away, of which each look at a queue is one, and not ours.
    """
    if not env.get(_SAMPLER, "").strip().startswith(_HOSTS_OWN):
        return None
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased  # noqa: PLC0415

    return ParentBased(ALWAYS_ON)
