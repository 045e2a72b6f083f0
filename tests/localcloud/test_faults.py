"""ARM's failures on demand: slow answers, errors, cut connections, tasks that are not allowed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient
from azure.mgmt.containerregistrytasks.models import TaskRunRequest

from localcloud.arm import Fault
from localcloud.cloud import LocalCloud
from localcloud.state import Registry
from tests import images
from tests.clocks import StoppedClock
from tests.patience import SECONDS, until

HASTE = httpx.Timeout(SECONDS, read=0.5)


def upload(arm: httpx.Client, registry: Registry) -> httpx.Response:
    """Ask for an address to upload a context to."""
    return arm.post(f"{registry.id}/listBuildSourceUploadUrl")


def put_task(arm: httpx.Client, registry: Registry) -> httpx.Response:
    """Make a task: an effect that can be seen."""
    return arm.put(f"{registry.id}/tasks/builder", json={"location": "westeurope"})


@pytest.mark.parametrize("after", [False, True])
def test_a_slow_answer_is_the_true_one(
    still: LocalCloud, clock: StoppedClock, apps: Registry, arm: httpx.Client, *, after: bool
) -> None:
    """It comes when its time has passed; the effect comes before the wait, or after it."""
    still.arm.faults.append(Fault("PUT", "tasks", None, seconds=60, after=after))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(put_task, arm, apps)
        until(lambda: clock.waiting)
        during = arm.get(f"{apps.id}/tasks/builder").status_code
        assert not answer.done()
        clock.forward(60)
        assert answer.result(SECONDS).status_code == 200

    assert during == (200 if after else 404)
    assert list(apps.tasks) == ["builder"]


@pytest.mark.parametrize("after", [False, True])
def test_a_client_that_does_not_wait_does_not_know(
    still: LocalCloud, apps: Registry, arm: httpx.Client, *, after: bool
) -> None:
    """A time-out looks the same whether the request had its effect or not."""
    still.arm.faults.append(Fault("PUT", "tasks", 500, seconds=60, after=after))

    def given_up() -> bool:
        with pytest.raises(httpx.ReadTimeout):
            arm.put(f"{apps.id}/tasks/builder", json={"location": "westeurope"}, timeout=HASTE)
        # On a busy machine the client may be gone before it is heard.
        return bool(still.arm.requests)

    until(given_up)
    if after:
        until(lambda: apps.tasks)
    assert list(apps.tasks) == (["builder"] if after else [])


@pytest.mark.parametrize("after", [False, True])
def test_an_error_before_or_after_the_effect(
    still: LocalCloud, apps: Registry, arm: httpx.Client, *, after: bool
) -> None:
    """A 503 with its own code and headers, once; the next request is answered."""
    headers = {"Retry-After": "7"}
    still.arm.faults.append(Fault("PUT", "TASKS", 503, "ServerBusy", "Busy.", headers, after=after))
    answer = put_task(arm, apps)

    assert answer.status_code == 503
    assert answer.json() == {"error": {"code": "ServerBusy", "message": "Busy."}}
    assert answer.headers["Retry-After"] == "7"
    assert list(apps.tasks) == (["builder"] if after else [])
    assert put_task(arm, apps).status_code in (200, 201)


@pytest.mark.parametrize("after", [False, True])
def test_a_cut_connection(
    still: LocalCloud, apps: Registry, arm: httpx.Client, *, after: bool
) -> None:
    """The client sees no answer, whether the request had its effect or not."""
    still.arm.faults.append(Fault("PUT", "tasks", 0, after=after))
    with pytest.raises(httpx.TransportError):
        put_task(arm, apps)

    assert list(apps.tasks) == (["builder"] if after else [])


def test_a_fault_without_a_count_stays(
    still: LocalCloud, apps: Registry, arm: httpx.Client
) -> None:
    """Every request of its method and path fails until it is taken away; others do not."""
    still.arm.faults.append(Fault("GET", "/tasks$", 500, times=None))
    statuses = [arm.get(f"{apps.id}/tasks").status_code for _ in range(5)]
    assert statuses == [500] * 5
    assert arm.get(f"{apps.id}/runs").status_code == 200
    assert arm.put(f"{apps.id}/tasks").status_code == 404
    still.arm.faults.clear()
    assert arm.get(f"{apps.id}/tasks").status_code == 200


@pytest.mark.parametrize("named", [True, False])
def test_tasks_may_not_be_allowed(
    still: LocalCloud,
    apps: Registry,
    arm: httpx.Client,
    tasks: ContainerRegistryTasksMgmtClient,
    *,
    named: bool,
) -> None:
    """A registry on free credits starts no run and takes no context; another one may."""
    other = images.registry(still, "others", 1)
    images.task(apps, "builder", [])
    still.arm.behaviour.tasks_not_allowed = [apps.id.upper() if named else "*"]
    body = TaskRunRequest(task_id=f"{apps.id}/tasks/builder")
    with pytest.raises(HttpResponseError) as raised:
        tasks.registries.schedule_run(apps.resource_group, apps.name, body)

    assert raised.value.status_code == 400
    assert raised.value.error is not None
    assert raised.value.error.code == "TasksOperationsNotAllowed"
    told = f"for the registry {apps.name} and {apps.subscription_id} are not permitted"
    assert told in str(raised.value.error.message)
    assert upload(arm, apps).json()["error"]["code"] == "TasksOperationsNotAllowed"
    assert upload(arm, other).status_code == (200 if named else 400)
    assert apps.runs == {}
    assert len(list(tasks.tasks.list(apps.resource_group, apps.name))) == 1
    still.arm.behaviour.tasks_not_allowed = []
    tasks.registries.schedule_run(apps.resource_group, apps.name, body)
    assert len(apps.runs) == 1
