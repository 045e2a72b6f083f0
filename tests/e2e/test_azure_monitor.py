"""Azure Monitor, as a component gets it from the running app: by identity, about what, how much."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from localcloud.cloud import LocalCloud
from localcloud.insights import connection_string
from localcloud.state import Json
from rebuilder.composition import release
from rebuilder.telemetry.azure_monitor import ASKED, CONNECTION
from tests.e2e.conftest import World

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

    own = [r for r in caplog.records if r.name.startswith("rebuilder.usecases.")]
    assert len(own) == len(found.lines)
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
