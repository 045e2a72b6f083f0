"""What Access must do, through Azure's SDKs against the local cloud's ARM."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localcloud.cloud import LocalCloud
from rebuilder.azure.acr.access import ArmAccess
from rebuilder.azure.identity import credential
from rebuilder.core.acr.access import PullAccess
from rebuilder.core.acr.registries import RegistryId
from rebuilder.errors import Denied
from tests import images

READER = "Container Registry Repository Reader"


@pytest.fixture(name="access")
def _access(cloud: LocalCloud) -> Iterator[ArmAccess]:
    del cloud  # its environment is what the credential looks for
    identity = credential("")
    made = ArmAccess(identity, "https://management.azure.com")
    yield made
    made.close()
    getattr(identity, "close")()  # noqa: B009 - not part of the protocol


@pytest.mark.parametrize(
    ("abac", "role", "allowed"),
    [
        (False, None, False),
        (False, "AcrPull", True),
        (False, "Reader", True),  # `*/read` holds pull/read
        (False, "Contributor", True),
        (False, "AcrDelete", False),
        (False, READER, False),
        (True, READER, True),
        (True, "AcrPull", False),  # an ABAC registry does not honour it
        (True, "Owner", False),
    ],
)
def test_roles_count_as_the_registry_counts_them(
    cloud: LocalCloud, access: ArmAccess, role: str | None, *, abac: bool, allowed: bool
) -> None:
    """Which role lets somebody pull depends on the registry's role assignment mode."""
    mode = "AbacRepositoryPermissions" if abac else "LegacyRegistryPermissions"
    base = images.registry(cloud, "mybase", roleAssignmentMode=mode)
    cloud.authorize_rebuilder([base], [])
    somebody = cloud.directory.create("somebody").object_id
    if role is not None:
        cloud.roles.assign(role, somebody, base.id)

    found = access.pull(RegistryId.parse(base.id), somebody)

    assert found == PullAccess(allowed, READER if abac else "AcrPull")


def test_a_role_on_the_group_counts(cloud: LocalCloud, access: ArmAccess) -> None:
    """Assignments are inherited from the scopes above; other people's do not count."""
    base = images.base_registry(cloud)
    somebody, other = (cloud.directory.create(name).object_id for name in ("one", "two"))
    cloud.roles.assign("AcrPull", somebody, base.id.partition("/providers/")[0])

    assert access.pull(RegistryId.parse(base.id), somebody).allowed
    assert not access.pull(RegistryId.parse(base.id), other).allowed


def test_who_may_not_read_roles_is_told(cloud: LocalCloud, access: ArmAccess) -> None:
    """Without roleAssignments/read the question is denied, which names the action."""
    base = images.registry(cloud, "mybase")
    cloud.roles.assign(
        "Container Registry Tasks Contributor", cloud.function_app.object_id, base.id
    )

    with pytest.raises(Denied, match="roleAssignments/read"):
        access.pull(RegistryId.parse(base.id), "somebody")
