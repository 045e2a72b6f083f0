"""Azure Monitor's exporters, by identity: no key opens anything, and nothing is sent unasked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace.export import SpanExporter

CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"
ASKED = "PYTHON_ENABLE_OPENTELEMETRY"
"""Azure's own switch: with it the worker tells the host that the app sends its lines itself."""

# The exporter would report on itself to Microsoft, ask there how it is to behave, and send a record
# of the resource with each batch: hosts that a closed network does not let through, and bytes.
_QUIET = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED",
)


class Exporters(Struct, frozen=True):
    """One exporter for each signal."""

    spans: SpanExporter
    metrics: MetricExporter
    logs: LogRecordExporter


def asked_for(env: Mapping[str, str]) -> bool:
    """Tell whether telemetry is to go to Azure Monitor."""
    return bool(env.get(CONNECTION, "").strip()) and env.get(ASKED, "").strip().lower() in (
        "1",
        "true",
    )


def exporters(env: Mapping[str, str], credential: TokenCredential) -> Exporters:
    """Return Azure Monitor's exporters.

    Args:
        env: Names the Application Insights component.
        credential: Who sends; it has to be a Monitoring Metrics Publisher of the component.
    """
    for name in _QUIET:
        os.environ.setdefault(name, "true")
    from azure.monitor.opentelemetry.exporter import (  # noqa: PLC0415 - only where it is used
        AzureMonitorLogExporter,
        AzureMonitorMetricExporter,
        AzureMonitorTraceExporter,
    )

    told = {
        "connection_string": env[CONNECTION],
        "credential": credential,
        # Nothing of it is written to the disk of an instance that is soon gone.
        "disable_offline_storage": True,
    }
    return Exporters(
        AzureMonitorTraceExporter(**told),
        AzureMonitorMetricExporter(**told),
        AzureMonitorLogExporter(**told),
    )
