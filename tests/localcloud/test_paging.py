"""Lists of runs and tasks in pages, by the SDK and as the Azure CLI asks for them."""

from __future__ import annotations

import base64

import httpx
import pytest
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient

from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry, Run
from tests import images

COUNT = 200


def add_run(registry: Registry, number: int) -> None:
    """Put a run into a registry, as if it had ended; every third one failed."""
    run_id = f"ca{number}"
    properties: Json = {
        "runId": run_id,
        "runType": "QuickRun",
        "status": "Failed" if number % 3 == 0 else "Succeeded",
        "task": "build-a" if number % 2 else "build-b",
        "createTime": f"2026-01-01T{number // 60:02}:{number % 60:02}:00.0000000Z",
        "isArchiveEnabled": False,
        "outputImages": [],
    }
    registry.runs[run_id] = Run(run_id, properties)


@pytest.fixture(name="numbers")
def _numbers(apps: Registry) -> list[int]:
    """200 runs; their numbers, newest first."""
    numbers = list(range(1, COUNT + 1))
    for number in numbers:
        add_run(apps, number)
    return numbers[::-1]


def listed(
    tasks: ContainerRegistryTasksMgmtClient,
    registry: Registry,
    *,
    wanted: str | None = None,
    top: int | None = None,
) -> list[int]:
    """List runs by the SDK; return their numbers."""
    runs = tasks.runs.list(registry.resource_group, registry.name, filter=wanted, top=top)
    return [int(str(run.name).removeprefix("ca")) for run in runs]


@pytest.mark.parametrize("size", [1, 7, 100, 200, 1000])
def test_every_run_is_listed_once(
    still: LocalCloud,
    apps: Registry,
    numbers: list[int],
    tasks: ContainerRegistryTasksMgmtClient,
    size: int,
) -> None:
    """Whatever a page holds, the SDK finds all 200 runs, newest first."""
    still.arm.behaviour.page_size = size
    assert listed(tasks, apps) == numbers
    assert len(still.arm.requests) == -(-COUNT // size)


def test_filters_hold_over_pages(
    still: LocalCloud,
    apps: Registry,
    numbers: list[int],
    tasks: ContainerRegistryTasksMgmtClient,
) -> None:
    """A page of a filtered list is full of what the filter lets pass."""
    still.arm.behaviour.page_size = 10
    wanted = "TaskName eq 'build-a' and Status eq 'Failed'"
    expected = [number for number in numbers if number % 2 and number % 3 == 0]
    assert listed(tasks, apps, wanted=wanted) == expected
    assert len(still.arm.requests) == -(-len(expected) // 10)


@pytest.mark.parametrize("top", [1, 10, 15, 30, 199, 200, 500])
def test_top_is_the_whole_lists_length(
    still: LocalCloud,
    apps: Registry,
    numbers: list[int],
    tasks: ContainerRegistryTasksMgmtClient,
    top: int,
) -> None:
    """The Azure CLI follows every nextLink and shows what comes; its --top is a total."""
    still.arm.behaviour.page_size = 10
    assert listed(tasks, apps, top=top) == numbers[:top]
    failed = [number for number in numbers if number % 3 == 0]
    assert listed(tasks, apps, top=top, wanted="Status eq 'Failed'") == failed[:top]


def test_new_runs_do_not_shift_the_pages(
    still: LocalCloud,
    apps: Registry,
    numbers: list[int],
    tasks: ContainerRegistryTasksMgmtClient,
) -> None:
    """A run that comes between two pages makes no other one come twice."""
    still.arm.behaviour.page_size = 50
    found = []
    runs = tasks.runs.list(apps.resource_group, apps.name)
    for position, run in enumerate(runs):
        found.append(int(str(run.name).removeprefix("ca")))
        if position % 20 == 0:
            add_run(apps, COUNT + 1 + position)
    # The iterator begins with a request, so nothing is new on the first page either.
    assert found == numbers


def test_tasks_that_come_and_go_do_not_shift_the_pages(
    still: LocalCloud, apps: Registry, tasks: ContainerRegistryTasksMgmtClient
) -> None:
    """Tasks made or deleted between two pages neither hide nor repeat another one."""
    still.arm.behaviour.page_size = 2
    for letter in "bcdefg":
        images.task(apps, f"task-{letter}", None)
    found = []
    for task in tasks.tasks.list(apps.resource_group, apps.name):
        found.append(str(task.name)[-1])
        if found[-1] == "c":
            images.task(apps, "task-a", None)
            del apps.tasks["task-b"], apps.tasks["task-c"]
    assert found == list("bcdefg")


@pytest.mark.parametrize(
    "query",
    [
        {"$top": "some"},
        {"$top": "-1"},
        {"$skiptoken": base64.urlsafe_b64encode(b"ca999").decode()},
        {"$skiptoken": "_w=="},
    ],
)
def test_other_queries_are_refused(
    apps: Registry, numbers: list[int], arm: httpx.Client, query: dict[str, str]
) -> None:
    """A number that is none and a token that no page has given are errors."""
    assert numbers
    answer = arm.get(f"{apps.id}/runs", params={"api-version": "2019-04-01", **query})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidQueryParameter")
