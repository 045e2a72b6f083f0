"""Lists of runs and tasks in pages, by the SDK and as the Azure CLI asks for them."""

from __future__ import annotations

import base64
from collections.abc import Callable

import httpx
import pytest
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient

from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry, Run
from tests import images

COUNT = 200


def at(number: int) -> str:
    """Return the time at which a run was created."""
    return f"2026-01-01T{number // 60:02}:{number % 60:02}:00.0000000Z"


def add_run(registry: Registry, number: int) -> None:
    """Put a run into a registry; every third one failed, every seventh has no end yet.

    Every fifth was built by a quick build and pushed something.
    """
    run_id = f"ca{number}"
    properties: Json = {
        "runId": run_id,
        "runType": "QuickRun" if number % 5 else "QuickBuild",
        "status": "Failed" if number % 3 == 0 else "Succeeded",
        "task": "build-a" if number % 2 else "build-b",
        "createTime": at(number),
        "isArchiveEnabled": number % 11 == 0,
        "outputImages": [],
    }
    if number % 5 == 0:
        properties["outputImages"] = [{"repository": "team/app", "digest": f"sha256:{number:03}"}]
    if number % 7:
        properties["finishTime"] = at(number + 1)
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


FILTERS: list[tuple[str, Callable[[int], bool]]] = [
    ("TaskName eq 'build-a' and Status eq 'Succeeded'", lambda n: n % 2 == 1 and n % 3 > 0),
    ("TaskName eq 'build-a' or Status eq 'Failed'", lambda n: n % 2 == 1 or n % 3 == 0),
    ("TaskName ne 'build-a' and Status ne 'Failed'", lambda n: n % 2 == 0 and n % 3 > 0),
    (
        "Status eq 'Failed' and (TaskName eq 'build-b' or RunType eq 'QuickBuild')",
        lambda n: n % 3 == 0 and (n % 2 == 0 or n % 5 == 0),
    ),
    # `and` binds closer than `or`.
    (
        "RunType eq 'QuickBuild' or TaskName eq 'build-b' and Status eq 'Failed'",
        lambda n: n % 5 == 0 or (n % 2 == 0 and n % 3 == 0),
    ),
    ("contains(OutputImageManifests, 'team/app@sha256:')", lambda n: n % 5 == 0),
    ("contains(OutputImageManifests, 'team/app@sha256:15')", lambda n: n in (150, 155)),
    (
        "contains(OutputImageManifests, 'app@sha256:') and Status eq 'Succeeded'",
        lambda n: n % 5 == 0 and n % 3 > 0,
    ),
    (f"CreateTime gt {at(100)}", lambda n: n > 100),
    (f"CreateTime ge '{at(100)}'", lambda n: n >= 100),
    ("CreateTime ge 2026-01-01T02:40:00+01:00", lambda n: n >= 100),
    (f"CreateTime lt {at(100)} and CreateTime ge {at(90)}", lambda n: 90 <= n < 100),
    (f"FinishTime le {at(51)}", lambda n: n <= 50 and n % 7 > 0),
    (f"FinishTime gt {at(151)}", lambda n: n > 150 and n % 7 > 0),
    ("IsArchiveEnabled eq true", lambda n: n % 11 == 0),
    ("RunId eq 'ca77'", lambda n: n == 77),
    ("contains(TaskName, 'ild-b')", lambda n: n % 2 == 0),
    ("AgentPoolName eq 'none'", lambda _: False),
]


@pytest.mark.parametrize(("wanted", "expected"), FILTERS, ids=[text for text, _ in FILTERS])
def test_filters_find_what_they_say(
    still: LocalCloud,
    apps: Registry,
    numbers: list[int],
    tasks: ContainerRegistryTasksMgmtClient,
    wanted: str,
    expected: Callable[[int], bool],
) -> None:
    """Of 200 runs, in pages of any size, newest first, and the first of them with $top."""
    found = [number for number in numbers if expected(number)]
    for size in (7, 100):
        still.arm.behaviour.page_size = size
        assert listed(tasks, apps, wanted=wanted) == found
        assert listed(tasks, apps, wanted=wanted, top=15) == found[:15]


def test_200_runs_are_queued_and_listed(
    still: LocalCloud,
    apps: Registry,
    arm: httpx.Client,
    tasks: ContainerRegistryTasksMgmtClient,
) -> None:
    """Each request is a run with an id of its own; the newest is first."""
    still.scheduler.behaviour.paused = True
    images.task(apps, "builder", None)
    body = {"type": "TaskRunRequest", "taskId": f"{apps.id}/tasks/builder"}
    made = [arm.post(f"{apps.id}/scheduleRun", json=body).json()["name"] for _ in range(COUNT)]
    where = (apps.resource_group, apps.name)
    wanted = "TaskName eq 'builder' and Status eq 'Queued'"
    assert [run.name for run in tasks.runs.list(*where, filter=wanted)] == made[::-1]
    assert [run.name for run in tasks.runs.list(*where, top=15)] == made[:-16:-1]
    assert len(set(made)) == COUNT


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
    """Tasks that go hide and repeat no other; one that comes is the last, as in Azure."""
    still.arm.behaviour.page_size = 2
    for letter in "bcdefg":
        images.task(apps, f"task-{letter}", None)
    found = []
    for task in tasks.tasks.list(apps.resource_group, apps.name):
        found.append(str(task.name)[-1])
        if found[-1] == "c":
            images.task(apps, "task-a", None)
            del apps.tasks["task-b"], apps.tasks["task-c"]
    assert found == list("bcdefga")


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
    answer = arm.get(f"{apps.id}/runs", params=query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidQueryParameter")


@pytest.mark.parametrize(
    "wanted",
    [
        "Status",
        "Status eq",
        "Status is 'Failed'",
        "Colour eq 'red'",
        "not Status eq 'Failed'",
        "startswith(TaskName, 'a')",
        "(Status eq 'Failed'",
        "contains(TaskName 'a')",
        "Status eq 'Failed' TaskName eq 'a'",
        "CreateTime gt yesterday",
        "CreateTime gt ''",
    ],
)
def test_other_filters_are_refused(apps: Registry, arm: httpx.Client, wanted: str) -> None:
    """Neither `not` nor another function nor a time that is none is a filter."""
    answer = arm.get(f"{apps.id}/runs", params={"$filter": wanted})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidFilter")
