"""The rows of docs/live-checks.md that a program can ask Azure; each writes its answer down.

A test fails only where the product would not work with the answer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
import requests

from rebuilder.errors import RebuilderError
from tests.live.azure import MOVING, REGISTRIES, TAG, Live, until

pytestmark = pytest.mark.timeout(1800)
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_OCI = "application/vnd.oci.image.manifest.v1+json"


def test_the_list_of_tasks(live: Live) -> None:
    """Row 1: does the list of tasks carry `baseImageDependencies`?"""
    listed = live.read(f"{live.place}/tasks")["value"]
    (mine,) = [task for task in listed if task["name"].lower() == live.task.name]
    carried = mine["properties"]["step"].get("baseImageDependencies")
    live.note(1, bool(carried))

    assert live.dependencies()
    assert live.task in {task.id for task in live.tasks.tasks(live.registry)}


def test_a_run_renews_the_record(live: Live) -> None:
    """Row 2: does ACR renew `baseImageDependencies` after a run that ARM scheduled?"""
    digest = live.move(live.images[1])
    assert live.status(live.run()) == "Succeeded"
    recorded = {entry.get("digest") for entry in live.dependencies()}
    live.note(2, digest in recorded)


def test_a_put_and_the_record(live: Live) -> None:
    """Row 3: are `baseImageDependencies` lost by a PUT?"""
    live.write_task()
    live.note(3, not live.dependencies())

    # The product says "nothing recorded: run the task once"; so that has to help.
    assert live.status(live.run()) == "Succeeded"
    assert live.dependencies()


def test_the_update_trigger_token(live: Live) -> None:
    """Row 4: does a run show its `updateTriggerToken` in the list of runs?"""
    run_id = live.run("cm93LTQ=")
    listed = live.read(f"{live.place}/runs", query={"$top": "100"})["value"]
    (mine,) = [run for run in listed if run["properties"]["runId"] == run_id]
    live.note(4, mine["properties"].get("updateTriggerToken") == "cm93LTQ=")

    assert run_id in {run.run_id for run in live.tasks.runs(live.registry, top=100)}


def test_the_task_s_arguments(live: Live) -> None:
    """Row 5: does overriding only `updateTriggerToken` keep the task's own arguments?

    Without its argument the Dockerfile names no base image, and the run fails.
    """
    status = live.status(live.run())
    live.note(5, status == "Succeeded")

    assert status == "Succeeded"


def test_the_time_of_a_digest(live: Live) -> None:
    """Row 10: is a manifest's creation time kept when the same digest is pushed again?"""
    digest = live.move(live.images[0])
    before = live.contents.created(live.host, MOVING, digest)
    live.move(live.images[0])
    # Asked by somebody new: what is known of a digest is remembered.
    again = Live.from_env()
    after = again.contents.created(live.host, MOVING, digest)
    again.close()
    live.note(10, {"kept": before == after, "before": str(before), "after": str(after)})

    assert before is not None


def test_the_clocks(live: Live) -> None:
    """Row 11: how far may a run's times differ from the clock here?"""
    before = datetime.now(UTC)
    run_id = live.tasks.schedule(live.task, "cm93LTEx")
    after = datetime.now(UTC)
    told = live.read(f"{live.place}/runs/{run_id}")["properties"]["createTime"]
    created = datetime.fromisoformat(told)
    early, late = (before - created).total_seconds(), (created - after).total_seconds()
    seconds = max(early, late, 0.0)
    live.note(11, {"seconds": seconds})

    assert seconds <= 5


def test_when_a_run_is_listed(live: Live) -> None:
    """Row 12: how long until a scheduled run is visible in the list of runs?"""
    run_id = live.tasks.schedule(live.task, "cm93LTEy")

    def listed() -> bool:
        return run_id in {run.run_id for run in live.tasks.runs(live.registry, top=100)}

    seconds = until(listed)
    live.note(12, {"seconds": seconds})

    assert seconds <= 90


def test_the_filter_s_case(live: Live) -> None:
    """Row 14: does the `$filter` of runs mind the case of a task's name?"""
    told = {}
    for name in (live.task.name, live.task.name.upper()):
        query = {"$filter": f"TaskName eq '{name}'", "$top": "10"}
        told[name] = len(live.read(f"{live.place}/runs", query=query)["value"])
    live.note(14, {"minds": not told[live.task.name.upper()], "found": told})

    assert live.tasks.runs(live.registry, task=live.task.name, top=1)


def test_a_task_id_in_lower_case(live: Live) -> None:
    """Row 15: does scheduleRun take a `taskId` whose names are in lower case?"""
    try:
        live.tasks.schedule(live.task, "cm93LTE1")
    except RebuilderError as error:
        live.note(15, str(error))
        raise
    live.note(15, answer=True)


def test_where_layers_are(live: Live) -> None:
    """Row 19: do redirects of ACR's layers stay within hosts that are followed?"""
    headers = {"Authorization": f"Bearer {live.registry_token()}"}
    start = f"https://{live.host}/v2/{MOVING}"
    accept = {"Accept": f"{_MANIFEST}, {_OCI}"}
    manifest = requests.get(f"{start}/manifests/{TAG}", headers=headers | accept, timeout=60)
    manifest.raise_for_status()
    digest = manifest.json()["config"]["digest"]
    answer = requests.get(
        f"{start}/blobs/{digest}", headers=headers, timeout=60, allow_redirects=False
    )
    answer.raise_for_status()
    host = urlsplit(answer.headers.get("Location", "")).hostname or live.host
    live.note(19, host)

    assert host.endswith((".blob.core.windows.net", ".azurecr.io")), host


def test_what_the_caller_may(live: Live) -> None:
    """`rebuilder doctor`: ARM tells what the caller may do at a registry, as doctor reads it."""
    place = f"{live.place}/providers/Microsoft.Authorization/permissions"
    entries = live.read(place, version="2022-04-01")["value"]

    assert entries
    assert all("actions" in entry for entry in entries)
    assert live.read(live.place, version=REGISTRIES)["properties"]["loginServer"]
