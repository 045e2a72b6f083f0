"""Where spans and metrics go: to an OTLP collector, or nowhere.

`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES` and the other
variables of OpenTelemetry's SDK mean here what they mean everywhere (opentelemetry.io, "SDK
Configuration"). Without an endpoint nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rebuilder.telemetry import signals

_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
_NAME = "OTEL_SERVICE_NAME"
_SERVICE = "acr-rebuilder"


def turn_on(env: Mapping[str, str]) -> Callable[[], None] | None:
    """Have spans and metrics exported, if the environment names a collector.

    Returns:
        What sends the rest and ends it; None if nothing is exported.
    """
    if not any(env.get(name, "").strip() for name in _ENDPOINTS):
        return None
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create({SERVICE_NAME: env.get(_NAME) or _SERVICE})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    meters = MeterProvider([reader], resource=resource)
    signals.turn_on(tracers.get_tracer("rebuilder"), meters.get_meter("rebuilder"))

    def end() -> None:
        signals.turn_off()
        tracers.shutdown()
        meters.shutdown()

    return end
