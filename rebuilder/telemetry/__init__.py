"""Traces and metrics by OpenTelemetry, where an exporter is configured; else nothing is imported.

`signals` is what the product calls, `exporters` decides where it goes, `queues` carries the trace
from function to function.
"""
