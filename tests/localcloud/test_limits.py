"""ARM's token buckets, as clients see them."""

from __future__ import annotations

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient
from azure.mgmt.containerregistrytasks.models import TaskRunRequest

from localcloud.arm.limits import Limits
from localcloud.cloud import LocalCloud
from localcloud.state import Registry
from tests import images
from tests.clocks import StoppedClock

READS = "x-ms-ratelimit-remaining-subscription-reads"
WRITES = "x-ms-ratelimit-remaining-subscription-writes"
DELETES = "x-ms-ratelimit-remaining-subscription-deletes"


def limits(cloud: LocalCloud) -> Limits:
    """Switch small buckets on."""
    found = cloud.arm.throttle.limits
    found.enabled = True
    found.read_size = found.write_size = found.delete_size = 2
    return found


def test_microsofts_sizes_and_rates() -> None:
    """What the documentation says of the token buckets."""
    known = Limits()
    assert (known.read_size, known.read_rate) == (250, 25)
    assert (known.write_size, known.write_rate) == (200, 10)
    assert (known.delete_size, known.delete_rate) == (200, 10)


def test_good_days_have_no_limit(still: LocalCloud, apps: Registry, arm: httpx.Client) -> None:
    """Without the switch nothing is counted, and no header tells what is left."""
    limits(still).enabled = False
    answers = [arm.get(f"{apps.id}/tasks") for _ in range(4)]

    assert {answer.status_code for answer in answers} == {200}
    assert READS not in answers[-1].headers


def test_reads_run_out_and_come_back_with_time(
    still: LocalCloud, clock: StoppedClock, apps: Registry, arm: httpx.Client
) -> None:
    """The third of two reads is refused with the seconds to wait; after them it is answered."""
    limits(still).read_rate = 0.25
    first, second, third = (arm.get(f"{apps.id}/tasks") for _ in range(3))
    clock.forward(3)
    early = arm.get(f"{apps.id}/tasks")
    clock.forward(1)
    late = arm.get(f"{apps.id}/tasks")

    assert [a.status_code for a in (first, second, third, early, late)] == [200, 200, 429, 429, 200]
    assert [a.headers[READS] for a in (first, second, third, late)] == ["1", "0", "0", "0"]
    assert third.headers["Retry-After"] == "4"
    assert early.headers["Retry-After"] == "1"
    error = third.json()["error"]
    assert error["code"] == "SubscriptionRequestsThrottled"
    assert apps.subscription_id in error["message"]
    assert still.developer.object_id in error["message"]


def test_a_bucket_never_holds_more_than_its_size(
    still: LocalCloud, clock: StoppedClock, apps: Registry, arm: httpx.Client
) -> None:
    """A day without requests does not add up."""
    limits(still)
    arm.get(f"{apps.id}/tasks")
    clock.forward(24 * 3600 - 60)
    assert arm.get(f"{apps.id}/tasks").headers[READS] == "1"


def test_kinds_principals_and_subscriptions_have_buckets_of_their_own(
    still: LocalCloud, apps: Registry, arm: httpx.Client
) -> None:
    """A POST counts as a write; another identity and another subscription are not refused."""
    limits(still)
    other = images.registry(still, "others", 1)
    for _ in range(2):
        arm.get(f"{apps.id}/tasks")
    read = arm.get(f"{apps.id}/tasks")
    written = arm.post(f"{apps.id}/listBuildSourceUploadUrl")
    deleted = arm.delete(f"{apps.id}/tasks/nothing")
    elsewhere = arm.get(f"{other.id}/tasks")
    tenant = arm.get("/subscriptions")
    principal = still.directory.create("somebody")
    still.roles.assign("Reader", principal.object_id, apps.id)
    somebody = still.tokens.issue(principal, "https://management.azure.com")
    theirs = arm.get(f"{apps.id}/tasks", headers={"Authorization": f"Bearer {somebody}"})

    assert (read.status_code, read.headers[READS]) == (429, "0")
    assert (written.status_code, written.headers[WRITES]) == (200, "1")
    assert (deleted.status_code, deleted.headers[DELETES]) == (204, "1")
    assert (elsewhere.status_code, elsewhere.headers[READS]) == (200, "1")
    assert (theirs.status_code, theirs.headers[READS]) == (200, "1")
    assert tenant.headers["x-ms-ratelimit-remaining-tenant-reads"] == "1"


def test_a_refused_run_is_not_scheduled(
    still: LocalCloud, apps: Registry, tasks: ContainerRegistryTasksMgmtClient
) -> None:
    """The SDK raises 429, and there is no run until there is room again."""
    images.task(apps, "builder", [], status="Enabled")
    limits(still).write_size = 1
    body = TaskRunRequest(task_id=f"{apps.id}/tasks/builder")
    group = apps.resource_group
    tasks.registries.schedule_run(group, apps.name, body)
    with pytest.raises(HttpResponseError) as raised:
        tasks.registries.schedule_run(group, apps.name, body, retry_total=0)

    assert raised.value.status_code == 429
    assert len(apps.runs) == 1
    still.arm.throttle.refill()
    tasks.registries.schedule_run(group, apps.name, body, retry_total=0)
    assert len(apps.runs) == 2
