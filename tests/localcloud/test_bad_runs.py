"""Runs' bad days: queued, held back, cancelled, timed out, failed, hidden; every switch bites."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient

from localcloud import switches
from localcloud.arm import Fault
from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry, Run
from tests import images, patience
from tests.clocks import LeapingClock, StoppedClock
from tests.patience import SECONDS, until
from tests.runs import carry_out, client, encoded, logged, of_task, start, status

URL = "https://github.com/contoso/app.git"
ENDLESS = 1e9
ENDED = {
    "Failed": "failed",
    "Error": "internalerror",
    "Canceled": "canceled",
    "Timeout": "timedout",
}


def switch(cloud: LocalCloud, **values: object) -> None:
    """Set switches by the admin API; a name has `__` for its dot."""
    body = {name.replace("__", "."): value for name, value in values.items()}
    with patience.client(base_url=cloud.admin_url) as admin:
        admin.patch("/switches", json=body).raise_for_status()


def log_of(cloud: LocalCloud, registry: Registry, run: Run) -> httpx.Response:
    """Return a run's log as a client reads it."""
    with client(cloud) as arm, cloud.network.client() as http:
        link = arm.post(f"{registry.id}/runs/{run.run_id}/listLogSasUrl").json()["logLink"]
        return http.get(link)


@pytest.fixture(name="source")
def _source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    (source / "Dockerfile").write_text("FROM node:9-alpine\n")
    return source


@pytest.fixture(name="apps")
def _apps(still: LocalCloud, source: Path) -> Registry:
    """A registry with a task that can be built."""
    still.map_context(URL, source)
    made = images.registry(still, "myapps")
    images.task(made, "builder", None)
    return made


@pytest.fixture(name="request_")
def _request(apps: Registry) -> Json:
    return of_task(apps, "builder")


def assert_nothing_came_of(cloud: LocalCloud, registry: Registry, run: Run) -> None:
    """A run pushed nothing and recorded nothing."""
    assert run.properties["outputImages"] == []
    assert cloud.registry.manifest(registry, "builder", run.run_id) is None
    assert registry.tasks["builder"].properties["step"]["baseImageDependencies"] is None


def test_runs_wait_while_none_begins(
    still: LocalCloud,
    apps: Registry,
    request_: Json,
    tasks: ContainerRegistryTasksMgmtClient,
) -> None:
    """A paused cloud leaves them Queued, without a start and a log; then they are carried out."""
    switch(still, runs__paused=True)
    run = start(still, apps, request_)
    assert not still.wait_idle(0.2)
    (listed,) = tasks.runs.list(apps.resource_group, apps.name, filter="Status eq 'Queued'")
    told: Any = listed.as_dict()["properties"]
    assert (listed.name, told["status"]) == (run.run_id, "Queued")
    assert "startTime" not in told
    assert log_of(still, apps, run).text == ""
    switch(still, runs__paused=False)
    assert still.wait_idle(SECONDS)
    assert status(still, apps, run) == "Succeeded"


def test_a_registry_carries_out_so_many_runs_at_once(
    still: LocalCloud, apps: Registry, request_: Json
) -> None:
    """The others stay Queued and begin in their order; another registry has its own room."""
    switch(still, runs__concurrency=2, runs__seconds=ENDLESS)
    runs = [start(still, apps, request_) for _ in range(5)]
    other = images.registry(still, "others", 1)
    theirs = start(still, other, encoded("steps: [{cmd: a}]"))

    def are(expected: list[str]) -> bool:
        return [status(still, apps, run) for run in runs] == expected

    for over in range(3):
        expected = ["Canceled"] * over + ["Running"] * 2 + ["Queued"] * (3 - over)
        until(partial(are, expected))
        assert still.scheduler.cancel(runs[over])
    until(partial(are, ["Canceled"] * 3 + ["Running"] * 2))
    until(lambda: status(still, other, theirs) == "Running")


def test_more_room_lets_more_runs_begin(still: LocalCloud, apps: Registry, request_: Json) -> None:
    """As soon as the switch is set, without another run."""
    switch(still, runs__concurrency=1, runs__seconds=ENDLESS)
    first, second = start(still, apps, request_), start(still, apps, request_)
    until(lambda: status(still, apps, first) == "Running")
    assert status(still, apps, second) == "Queued"
    switch(still, runs__concurrency=2)
    until(lambda: status(still, apps, second) == "Running")


def test_a_queued_run_is_cancelled(
    still: LocalCloud,
    apps: Registry,
    request_: Json,
    tasks: ContainerRegistryTasksMgmtClient,
) -> None:
    """It never begins; what is queued behind it does."""
    switch(still, runs__paused=True)
    first, second = start(still, apps, request_), start(still, apps, request_)
    tasks.runs.cancel(apps.resource_group, apps.name, first.run_id)
    assert status(still, apps, first) == "Canceled"
    switch(still, runs__paused=False)
    assert still.wait_idle(SECONDS)
    assert status(still, apps, second) == "Succeeded"
    assert status(still, apps, first) == "Canceled"
    assert "startTime" not in first.properties
    assert first.properties["finishTime"]
    assert log_of(still, apps, first).text == ""
    assert still.registry.manifest(apps, "builder", first.run_id) is None


def test_a_running_run_is_cancelled(
    still: LocalCloud,
    apps: Registry,
    request_: Json,
    tasks: ContainerRegistryTasksMgmtClient,
) -> None:
    """At once, and it pushes nothing; cancelled twice, or too late, is an error."""
    switch(still, runs__seconds=ENDLESS)
    run = start(still, apps, request_)
    until(lambda: status(still, apps, run) == "Running")
    tasks.runs.cancel(apps.resource_group, apps.name, run.run_id)
    assert status(still, apps, run) == "Canceled"
    assert still.wait_idle(SECONDS)
    assert_nothing_came_of(still, apps, run)
    assert log_of(still, apps, run).headers["x-ms-meta-complete"] == "canceled"
    with pytest.raises(HttpResponseError) as raised:
        tasks.runs.cancel(apps.resource_group, apps.name, run.run_id)
    assert raised.value.status_code == 400
    assert status(still, apps, run) == "Canceled"


@pytest.mark.parametrize("quick", [False, True])
def test_a_run_times_out(tmp_path: Path, source: Path, *, quick: bool) -> None:
    """When the time of its task or of its request is over; it pushes nothing."""
    with LocalCloud(tmp_path / "fast", builder="embedded", clock=LeapingClock()) as cloud:
        apps = images.registry(cloud, "myapps")
        cloud.map_context(URL, source)
        images.task(apps, "builder", None, timeout=28800 if quick else 300)
        switch(cloud, runs__seconds=ENDLESS)
        request = of_task(apps, "builder")
        if quick:
            request = {
                "type": "DockerBuildRequest",
                "dockerFilePath": "Dockerfile",
                "imageNames": ["builder:{{.Run.ID}}"],
                "sourceLocation": URL,
                "platform": {"os": "Linux"},
                "timeout": 300,
            }
        run = carry_out(cloud, apps, request)
        assert status(cloud, apps, run) == "Timeout"
        assert run.properties["runErrorMessage"] == "the run's time, 300 seconds, is over"
        assert log_of(cloud, apps, run).headers["x-ms-meta-complete"] == "timedout"
        assert_nothing_came_of(cloud, apps, run)


@pytest.mark.parametrize("outcome", list(ENDED))
def test_the_next_runs_end_as_they_are_told_to(
    still: LocalCloud, apps: Registry, request_: Json, outcome: str
) -> None:
    """So many as the switch names, without building; the one after them is built."""
    switch(still, runs__outcomes=[outcome, outcome])
    for _ in range(2):
        run = carry_out(still, apps, request_)
        assert status(still, apps, run) == outcome
        assert log_of(still, apps, run).headers["x-ms-meta-complete"] == ENDED[outcome]
        assert "Launching build" not in logged(run)
        assert_nothing_came_of(still, apps, run)
    run = carry_out(still, apps, request_)
    assert status(still, apps, run) == "Succeeded"
    assert log_of(still, apps, run).headers["x-ms-meta-complete"] == "successful"


def test_runs_take_longer(still: LocalCloud, apps: Registry, request_: Json) -> None:
    """Cloud time passes before a run builds, while it is Running."""
    switch(still, runs__seconds=ENDLESS)
    run = start(still, apps, request_)
    until(lambda: status(still, apps, run) == "Running")
    assert logged(run) == ""
    assert still.scheduler.cancel(run)
    switch(still, runs__seconds=0)
    assert status(still, apps, carry_out(still, apps, request_)) == "Succeeded"


def test_task_runs_may_not_be_allowed(still: LocalCloud, apps: Registry, arm: httpx.Client) -> None:
    """They are refused as other runs are; reading them is not."""
    body = {"properties": {"runRequest": encoded("steps: [{cmd: a}]")}}
    assert arm.put(f"{apps.id}/taskRuns/first", json=body).status_code == 201
    switch(still, arm__tasks_not_allowed=[apps.id])
    again = {"properties": {"forceUpdateTag": "2"}}
    answers = [
        arm.put(f"{apps.id}/taskRuns/second", json=body),
        arm.put(f"{apps.id}/taskruns/first/", json=again),
        arm.patch(f"{apps.id}/taskRuns/first", json=again),
    ]
    codes = [(answer.status_code, answer.json()["error"]["code"]) for answer in answers]
    assert codes == [(400, "TasksOperationsNotAllowed")] * 3
    assert arm.get(f"{apps.id}/taskRuns/first").status_code == 200
    assert len(apps.runs) == 1


@pytest.mark.parametrize("shown", [True, False])
def test_the_update_token_may_be_hidden(
    still: LocalCloud,
    apps: Registry,
    tasks: ContainerRegistryTasksMgmtClient,
    *,
    shown: bool,
) -> None:
    """Neither a run nor the list tells it then."""
    switch(still, arm__shows_update_token=shown, runs__paused=True)
    run = start(still, apps, of_task(apps, "builder", updateTriggerToken="dA=="))
    one: Any = tasks.runs.get(apps.resource_group, apps.name, run.run_id).as_dict()
    (listed,) = tasks.runs.list(apps.resource_group, apps.name)
    many: Any = listed.as_dict()
    expected = "dA==" if shown else None
    assert one["properties"].get("updateTriggerToken") == expected
    assert many["properties"].get("updateTriggerToken") == expected


@pytest.mark.parametrize(("mind_case", "found"), [(False, 1), (True, 0)])
def test_filters_may_mind_the_case(
    still: LocalCloud,
    apps: Registry,
    request_: Json,
    arm: httpx.Client,
    *,
    mind_case: bool,
    found: int,
) -> None:
    """A task's name in another case finds its runs, or does not."""
    switch(still, arm__filters_mind_case=mind_case, runs__paused=True)
    start(still, apps, request_)
    answer = arm.get(f"{apps.id}/runs", params={"$filter": "TaskName eq 'BUILDER'"})
    assert len(answer.json()["value"]) == found


@pytest.mark.parametrize("listed", [True, False])
def test_the_list_may_leave_dependencies_out(
    still: LocalCloud,
    apps: Registry,
    tasks: ContainerRegistryTasksMgmtClient,
    *,
    listed: bool,
) -> None:
    """A task on its own tells them in any case."""
    recorded = [images.dependency("b.azurecr.io/i:1")]
    images.task(apps, "builder", recorded)
    switch(still, arm__list_has_dependencies=listed)
    (task,) = tasks.tasks.list(apps.resource_group, apps.name)
    alone = tasks.tasks.get(apps.resource_group, apps.name, "builder")
    many: Any = task.as_dict()
    one: Any = alone.as_dict()
    expected = recorded if listed else None
    assert many["properties"]["step"].get("baseImageDependencies") == expected
    assert one["properties"]["step"]["baseImageDependencies"] == recorded


@pytest.mark.parametrize("keeps", [False, True])
def test_a_put_may_lose_dependencies(
    still: LocalCloud, apps: Registry, arm: httpx.Client, *, keeps: bool
) -> None:
    """They are gone after a PUT, unless the switch says that ACR keeps them."""
    recorded = [images.dependency("b.azurecr.io/i:1")]
    images.task(apps, "builder", recorded)
    switch(still, arm__put_keeps_dependencies=keeps)
    body = arm.get(f"{apps.id}/tasks/builder").json()
    answers = [arm.put(f"{apps.id}/tasks/builder", json=body), arm.get(f"{apps.id}/tasks/builder")]
    found = [answer.json()["properties"]["step"].get("baseImageDependencies") for answer in answers]
    assert found == [recorded if keeps else None] * 2


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        ("read", "x-ms-ratelimit-remaining-subscription-reads"),
        ("write", "x-ms-ratelimit-remaining-subscription-writes"),
        ("delete", "x-ms-ratelimit-remaining-subscription-deletes"),
    ],
)
def test_each_bucket_has_its_size_and_rate(
    still: LocalCloud,
    clock: StoppedClock,
    apps: Registry,
    arm: httpx.Client,
    kind: str,
    header: str,
) -> None:
    """A bucket of one is empty at once, and full again after the seconds of Retry-After."""
    sizes: dict[str, object] = {
        "read": {"limits__read_size": 1, "limits__read_rate": 0.5},
        "write": {"limits__write_size": 1, "limits__write_rate": 0.2},
        "delete": {"limits__delete_size": 1, "limits__delete_rate": 0.1},
    }
    wait = {"read": 2, "write": 5, "delete": 10}[kind]
    method = {"read": "GET", "write": "PUT", "delete": "DELETE"}[kind]
    values: Any = sizes[kind]
    switch(still, limits__enabled=True, **values)

    def ask() -> httpx.Response:
        return arm.request(method, f"{apps.id}/tasks/others", json={})

    first, refused = ask(), ask()
    assert first.headers[header] == "0"
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, str(wait))
    clock.forward(wait - 1)
    assert ask().status_code == 429
    clock.forward(1)
    assert ask().status_code == first.status_code


def named_switches(cloud: LocalCloud) -> Iterator[tuple[str, str]]:
    """Yield every switch as area and name, and every field of a fault."""
    with patience.client(base_url=cloud.admin_url) as admin:
        told = admin.get("/").json()
    for area, entries in told["switches"].items():
        yield from ((area, name) for name in entries)
    yield from (("fault", name) for name in told["fault"])


def test_every_switch_is_named_in_a_test(still: LocalCloud) -> None:
    """A switch that is new needs a test in which it bites; this finds those without any.

    It looks for the ways in which tests set a switch: by the admin API, as an attribute, or as an
    argument.
    """
    folder = Path(__file__).parent
    text = "\n".join(path.read_text() for path in sorted(folder.glob("test_*.py")))
    owners = {
        "arm": r"arm\.behaviour\.|arm__",
        "runs": r"runs__",
        "limits": r"limits__|found\.",
        "import": r"imports\.",
        "events": r"distort\((?:\w+=[^,()]+, )*|eventgrid\.behaviour\.",
        "native_trigger": r"native_trigger\.behaviour\.",
        "identity": r"identity_behaviour\.",
        "hub": r"hub_behaviour\.",
        "registry": r"registry\.behaviour\.",
        "fault": r"Fault\([^\n]*\b|\"",
    }
    found = list(named_switches(still))
    missing = [
        f"{area}.{name}"
        for area, name in found
        if not re.search(rf"(?:{owners[area]}){name}\b(?: ?=|\":)", text)
    ]
    assert missing == []
    assert {area for area, _ in found} == set(owners)
    assert {name for area, name in found if area == "fault"} == set(switches.describe(Fault))
