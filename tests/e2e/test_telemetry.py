"""Traces and metrics, as an OTLP collector gets them from the running app."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rebuilder.composition import release
from tests.collector import Collector, told
from tests.e2e.conftest import ROOT, World

BASE = "mybase.azurecr.io/images/node:9"


@pytest.fixture(name="collector")
def _collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        release()
        yield collector


def test_one_trace_leads_from_the_event_to_the_outcome(
    collector: Collector, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Through every queue; each hop says what it is about, and the metrics count it."""
    caplog.set_level(logging.INFO)  # as the worker has it
    old = world.push("one")
    task = world.task(world.apps, "build-app", old)
    world.subscribe()
    new = world.push("two")
    world.settle()
    (rebuild,) = world.context.ledger.rebuilds(task)
    world.host.stop()
    release()  # sends what was not sent yet

    ends = [span for _, span in collector.spans if told(span).get("rebuilder.state") == "succeeded"]
    (end,) = ends
    up = [end, *collector.ancestors(end)]
    assert [span.name for span in up] == [
        "process rebuilder-runs",
        "process rebuilder-builds",
        "process rebuilder-pushes",
        "accept event",
    ]
    assert {span.trace_id for span in up} == {end.trace_id}
    assert told(end) == {
        "messaging.destination.name": "rebuilder-runs",
        "messaging.operation.type": "process",
        "rebuilder.task": str(task),
        "rebuilder.registry": "myapps",
        "rebuilder.push": rebuild.push,
        "rebuilder.rebuild": rebuild.id,
        "rebuilder.run": rebuild.run_id,
        "rebuilder.state": "succeeded",
    }
    assert new in told(up[-1])["rebuilder.push"]
    assert {service for service, _ in collector.spans} == {"acr-rebuilder"}

    counted = {
        (entry.attributes[1].value.string_value): entry.as_int or entry.as_double
        for entry in collector.metrics["rebuilder.rebuilds"].sum.data_points
    }
    assert counted == {"scheduled": 1, "succeeded": 1}
    for name in ("rebuilder.push.to_scheduled", "rebuilder.push.to_rebuilt"):
        (point,) = collector.metrics[name].histogram.data_points
        assert point.count == 1
    asked = collector.metrics["rebuilder.azure.requests"].sum.data_points
    statuses = {
        entry.value.int_value
        for point in asked
        for entry in point.attributes
        if entry.key == "http.response.status_code"
    }
    assert 200 in statuses

    (line,) = [e for e in collector.lines if " is succeeded: " in e.body.string_value]
    assert told(line)["rebuilder.rebuild"] == rebuild.id
    assert line.trace_id == end.trace_id


def test_without_a_collector_nothing_of_it_is_imported() -> None:
    """Neither when the functions are indexed nor when the product is composed."""
    program = (
        "import sys, function_app\n"
        "from rebuilder.composition import compose, release\n"
        "compose(); release()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    registry = (
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers"
        "/Microsoft.ContainerRegistry/registries/base1"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin",
            "AzureWebJobsStorage": "sqlite:/dev/null/none.db",
            "REBUILDER_BASE_REGISTRIES": registry,
            "REBUILDER_TASK_REGISTRIES": registry,
            # The template names a component always; the switch is another one.
            "APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=" + "0" * 36,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
