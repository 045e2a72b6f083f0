"""Azure Monitor, as a component gets it from the running app: by identity, about what, how much."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import Struct

from localcloud.cloud import LocalCloud
from localcloud.insights import connection_string
from localcloud.state import Json
from rebuilder.composition import release
from rebuilder.core.rebuilds.rebuild import Check, State
from rebuilder.telemetry import metrics, signals
from rebuilder.telemetry.azure_monitor import ASKED, CONNECTION
from rebuilder.telemetry.dimensions import REGISTRY
from rebuilder.telemetry.versions import tell_versions
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.reports.now import tell_of_now
from tests.e2e.conftest import World
from tests.infra.templates import read
from tests.infra.test_alerts import alerts
from tests.kusto import Workspace

COMPONENT = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers"
    "/Microsoft.Insights/components/appi"
)
MOST_LINES = 12


class Told(Struct):
    """What a component was sent.

    Attributes:
        lines: Messages with their properties.
        requests: Names of requests.
        metrics: Names of metrics, with their properties.
    """

    lines: list[tuple[str, Json]]
    requests: list[str]
    metrics: list[tuple[str, Json]]


def told(envelopes: list[Json]) -> Told:
    """Sort envelopes."""
    found = Told([], [], [])
    for envelope in envelopes:
        data = envelope["data"]["baseData"]
        match envelope["data"]["baseType"]:
            case "MessageData":
                found.lines.append((data["message"], data["properties"]))
            case "RequestData":
                found.requests.append(data["name"])
            case "MetricData":
                (metric,) = data["metrics"]
                found.metrics.append((metric["name"], data.get("properties") or {}))
            case other:
                raise AssertionError(f"nobody looks at {other}")
    return found


@pytest.fixture(name="watched")
def _watched(cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose app has a component that it may publish to."""
    cloud.insights.know(COMPONENT)
    cloud.roles.assign("Monitoring Metrics Publisher", cloud.function_app.object_id, COMPONENT)
    monkeypatch.setenv(CONNECTION, connection_string(COMPONENT))
    monkeypatch.setenv(ASKED, "true")
    release()
    tell_versions.cache_clear()  # as in a process that has just begun, whatever was tested before
    world = World(cloud, f"sqlite:{tmp_path / 'rebuilder.db'}", tmp_path)
    world.host.start()
    yield world
    world.host.stop()
    release()


def test_a_rebuild_is_told_by_dimensions_and_in_few_lines(
    watched: World, cloud: LocalCloud, caplog: pytest.LogCaptureFixture
) -> None:
    """Its push, task, registry, rebuild and run are on its lines; Azure's packages say nothing."""
    old = watched.push("one")
    task = watched.task(watched.apps, "build-app", old)
    watched.subscribe()
    with caplog.at_level(logging.INFO):
        watched.push("two")
        watched.settle()
    (rebuild,) = watched.context.ledger.rebuilds(task)
    watched.host.stop()
    release()  # sends what was not sent yet
    found = told(cloud.insights.kept(COMPONENT))

    whole = {
        "rebuilder.push": rebuild.push,
        "rebuilder.task": str(task),
        "rebuilder.registry": "myapps",
        "rebuilder.rebuild": rebuild.id,
        "rebuilder.run": rebuild.run_id,
    }
    about = [(text, {k: v for k, v in p.items() if k in whole}) for text, p in found.lines]
    assert [p for text, p in about if " is succeeded: " in text] == [whole]
    assert [p for text, p in about if text.startswith("push ") and " planned: " in text] == [
        {"rebuilder.push": rebuild.push}
    ]
    for name, value in whole.items():
        assert {p[name] for _, p in about if name in p} == {value}
    assert len(found.lines) <= MOST_LINES, found.lines

    sent = ("rebuilder.usecases.", tell_versions.__module__)
    own = [r.getMessage() for r in caplog.records if r.name.startswith(sent)]
    assert sorted(own) == sorted(text for text, _ in found.lines)
    sdks = ("azure.core", "azure.identity", "azure.mgmt", "azure.monitor", "msal", "urllib3")
    assert Counter(r.name for r in caplog.records if r.name.startswith(sdks)) == {}

    hops = {f"process rebuilder-{queue}" for queue in ("pushes", "builds", "runs")}
    assert hops <= set(found.requests)
    names = {name for name, _ in found.metrics}
    assert {"rebuilder.rebuilds", "rebuilder.push.to_rebuilt"} <= names
    states = [p["rebuilder.state"] for name, p in found.metrics if name == "rebuilder.rebuilds"]
    assert sorted(states) == ["scheduled", "succeeded"]


def test_without_the_role_nothing_is_kept_and_nothing_breaks(
    watched: World, cloud: LocalCloud
) -> None:
    """Telemetry that cannot be sent keeps no rebuild from being made."""
    (given,) = [a for a in cloud.roles.assignments() if a.scope == COMPONENT]
    cloud.roles.revoke(given.id)
    old = watched.push("one")
    task = watched.task(watched.apps, "build-app", old)
    watched.subscribe()
    watched.push("two")
    watched.settle()
    (rebuild,) = watched.context.ledger.rebuilds(task)
    watched.host.stop()
    release()

    assert rebuild.state.over
    assert cloud.insights.kept(COMPONENT) == []


TROUBLE: dict[str, tuple[metrics.Metric, float, dict[str, str]]] = {
    "failed-rebuilds": (metrics.REBUILDS, 1, {metrics.STATE: State.FAILED.value}),
    "given-up-rebuilds": (metrics.REBUILDS, 1, {metrics.STATE: State.GIVEN_UP.value}),
    "still-stale": (metrics.REBUILDS, 1, {metrics.CHECK: Check.STALE.value}),
    "oldest-staleness": (metrics.STALE_HOURS, 2, {REGISTRY: "myapps"}),
    "stale-beyond-objective": (metrics.STALE_LATE, 1, {REGISTRY: "myapps"}),
    "runs-without-agent": (metrics.WITHOUT_AGENT, 1, {REGISTRY: "myapps"}),
    "unreadable-tasks": (metrics.UNREADABLE, 1, {REGISTRY: "myapps"}),
    "dead-letters": (metrics.DEAD_LETTERS, 1, {}),
    "poison-messages": (metrics.QUEUED, 1, {"messaging.destination.name": "q-poison"}),
    "old-messages": (metrics.QUEUED_OLDEST, 4000, {"messaging.destination.name": "q"}),
    "token-expiry": (metrics.TOKEN_LEFT, 86400, {"server.address": "github.com"}),
}
"""What moves each alert: a metric, its value, and what it is counted by."""


def test_alerts_are_quiet_until_there_is_trouble(
    watched: World, cloud: LocalCloud, caplog: pytest.LogCaptureFixture
) -> None:
    """Their queries, run on what Application Insights was sent; each moves for its own trouble."""
    caplog.set_level(logging.INFO)
    old = watched.push("one")
    watched.task(watched.apps, "build-app", old)
    watched.subscribe()
    watched.push("two")
    watched.settle()
    sweep(watched.context, "me")
    tell_of_now(watched.context)
    release()
    component = re.search(r'"(/subscriptions/[^"]+)"', alerts()["dead-letters"]["query"])
    assert component is not None
    healthy = Workspace(component[1])
    healthy.take(cloud.insights.kept(COMPONENT))
    asked = {name: alert["query"] for name, alert in alerts().items()}

    assert {name for name, query in asked.items() if healthy.ask(query)} == set()
    shown = {item["name"]: item["content"] for item in read("workbook.json")["items"]}
    rebuilds = healthy.ask(shown["Rebuilds"]["query"])
    assert sorted((row[0], row[-1]) for row in rebuilds) == [("scheduled", 1), ("succeeded", 1)]
    for name in ("Pushes", "Stale tasks", "Queues", "Requests to Azure by status", "Functions"):
        assert healthy.ask(shown[name]["query"]), name

    silent = Workspace(component[1])
    silent.take(cloud.insights.kept(COMPONENT), ago=timedelta(hours=2))
    assert silent.ask(asked["silence"])
    silent.add("_LogOperation", Category="Ingestion", Detail="OverQuota", Operation="")
    assert silent.ask(asked["daily-cap"])

    for name, (metric, value, by) in TROUBLE.items():
        before = len(cloud.insights.kept(COMPONENT))
        _ = watched.context  # telemetry is on again
        signals.tell(metric, value, by)
        release()
        troubled = Workspace(component[1])
        troubled.take(cloud.insights.kept(COMPONENT)[before:])
        assert {n for n, query in asked.items() if troubled.ask(query)} == {name}
    before = len(cloud.insights.kept(COMPONENT))
    _ = watched.context
    with suppress(ValueError), signals.span("sweep"):
        raise ValueError
    release()
    troubled = Workspace(component[1])
    troubled.take(cloud.insights.kept(COMPONENT)[before:])
    assert {n for n, query in asked.items() if troubled.ask(query)} == {"failed-executions"}
    assert set(asked) == {*TROUBLE, "silence", "daily-cap", "failed-executions"}
