"""The product as infra/ deploys it: its settings, its roles and its identity, and no others."""

from __future__ import annotations

from copy import replace
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from localcloud.roles import Permission, covers
from tests.infra.deployed import CONTEXT, Deployed, published
from tests.patience import until

_ROLES = ("roleAssignments/read", "roleDefinitions/read")


@pytest.fixture(name="deployed")
def _deployed(cloud: LocalCloud, tmp_path: Path) -> Deployed:
    return published(cloud, tmp_path)


@pytest.mark.timeout(1800)
def test_a_push_rebuilds_by_the_queue_as_well(cloud: LocalCloud, tmp_path: Path) -> None:
    """Event Grid calls no function: it writes into the queue, and the same rebuild comes of it."""
    deployed = published(cloud, tmp_path, eventDelivery="queue")
    (subscription,) = cloud.eventgrid.subscriptions(deployed.base)
    assert subscription.queue is not None
    assert (subscription.function, subscription.endpoint) == ("", "")
    assert subscription.queue.account_id == deployed.outputs["STORAGE_ACCOUNT_RESOURCE_ID"]

    deployed.push("second")
    deployed.await_rebuild()

    topic = subscription.queue.principal_id
    written = {o.operation.name for o in cloud.storage_operations() if o.principal_id == topic}
    assert written == {"Put Message"}
    assert "event_queued" in deployed.log()


@pytest.mark.timeout(1800)
def test_the_template_grants_what_is_used(deployed: Deployed) -> None:
    """A push rebuilds the image; nothing is granted that was not used."""
    cloud = deployed.cloud
    deployed.push("second")
    deployed.await_rebuild()
    # A run that may not pull has the product look which role is missing.
    (pull,) = [a for a in cloud.roles.assignments() if a.principal_id == deployed.task_principal]
    cloud.roles.revoke(pull.id)
    cloud.roles.assign("AcrDelete", deployed.task_principal, deployed.base.id)
    deployed.push("third")
    looked = {f"Microsoft.Authorization/{action}" for action in _ROLES}
    until(lambda: looked <= deployed.used(deployed.base))
    for registry in (deployed.base, deployed.apps):
        assert deployed.granted(registry) == deployed.used(registry), registry.name

    _check_storage(deployed)


def _check_storage(deployed: Deployed) -> None:
    """Every operation was allowed by a role, and without any one role some would not have been."""
    cloud = deployed.cloud
    account = cloud.state.resource(deployed.outputs["STORAGE_ACCOUNT_RESOURCE_ID"])
    assert account is not None
    who = deployed.principal_id
    mine = [a for a in cloud.roles.assignments() if a.principal_id == who]
    given = [a for a in mine if covers(account.id, a.scope)]
    done = [o.operation for o in cloud.storage_operations() if o.principal_id == who]
    assert given
    assert all(cloud.storage.may(who, account, operation) for operation in done)
    for assignment in given:
        cloud.roles.revoke(assignment.id)
        lost = [o.name for o in done if not cloud.storage.may(who, account, o)]
        cloud.roles.put(assignment)
        assert lost, assignment


_NO_ARM = "does not have authorization to perform action 'Microsoft.ContainerRegistry/registries"
_NO_PULL = "give the function app's identity AcrPull"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("use", "kind", "said"),
    [("base", "own", _NO_ARM), ("tasks", "own", _NO_ARM), ("base", "pull", _NO_PULL)],
)
def test_without_a_role_there_is_no_rebuild(
    deployed: Deployed, use: str, kind: str, said: str
) -> None:
    """Without any one role on a registry nothing is rebuilt, and the log says why."""
    registry = deployed.base if use == "base" else deployed.apps
    own = deployed.custom(registry)
    (role,) = [a for a in deployed.assignments(registry) if (a.id == own.id) == (kind == "own")]
    deployed.cloud.roles.revoke(role.id)
    deployed.push("second")
    deployed.await_log(said)
    assert deployed.apps.runs == {}
    deployed.cloud.roles.put(role)
    deployed.push("third")
    deployed.await_rebuild()


READ_LOG = "Microsoft.ContainerRegistry/registries/runs/listLogSasUrl/action"


@pytest.mark.timeout(1800)
def test_without_the_right_to_logs_it_goes_on(deployed: Deployed) -> None:
    """A run that fails is tried again, and the log names the right that would tell why."""
    roles = deployed.cloud.roles
    role = roles.role(deployed.custom(deployed.apps).role)
    assert role is not None
    actions = deployed.granted(deployed.apps) - {READ_LOG}
    roles.define(replace(role, permissions=(Permission(tuple(actions)),)))
    deployed.apps.tasks["app"].properties["step"]["contextPath"] = (
        "https://github.com/none/gone.git"
    )
    deployed.push("second")

    said = f"its log may not be read without {READ_LOG} on {deployed.apps.id.lower()}"
    until(lambda: said in deployed.log())
    # ACR's own sentence about the source is in the run itself: that is enough.
    until(lambda: "is given up: Failed: failed to download context" in deployed.log())
    deployed.apps.tasks["app"].properties["step"]["contextPath"] = CONTEXT
    deployed.apps.tasks["app"].properties["step"]["dockerFilePath"] = "none"
    deployed.push("third")
    until(lambda: "why it failed is not known: its log may not be" in deployed.log())
    assert "is failed: Failed: failed during run" in deployed.log()


@pytest.mark.timeout(1800)
def test_there_are_three_roles_on_registries(deployed: Deployed) -> None:
    """Each is in the test above."""
    counts = [len(deployed.assignments(registry)) for registry in (deployed.base, deployed.apps)]

    assert counts == [2, 1]
