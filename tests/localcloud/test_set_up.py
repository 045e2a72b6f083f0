"""What `make cloud` sets up: registries, and roles with which every explanation can be given."""

from __future__ import annotations

from localcloud.__main__ import set_up
from localcloud.cloud import LocalCloud
from localcloud.sample import APP_ID, BASE_ID
from tests import images

SETTINGS = {"REBUILDER_BASE_REGISTRIES": BASE_ID, "REBUILDER_TASK_REGISTRIES": APP_ID}


def test_the_host_and_the_person_may_read_every_image(cloud: LocalCloud) -> None:
    """Those that tasks push, too: they are the proof of what a rebuilt image stands on."""
    bases, tasks = set_up(cloud, SETTINGS)
    assert [registry.id for registry in (*bases, *tasks)] == [BASE_ID, APP_ID]
    for registry in (*bases, *tasks):
        for principal in (cloud.function_app, cloud.developer):
            assert cloud.registry.auth.may(registry, principal, "pull")
        assert not cloud.registry.auth.may(registry, cloud.function_app, "push")


def test_the_proof_is_given_only_where_it_is_asked_for(cloud: LocalCloud) -> None:
    """The product works without; a registry with repository permissions has a role of its own."""
    plain, proven = images.registry(cloud, "plain"), images.registry(cloud, "proven")
    proven.properties["roleAssignmentMode"] = "AbacRepositoryPermissions"
    cloud.authorize_rebuilder([], [plain])
    cloud.authorize_rebuilder([], [proven], proof=True)
    may = cloud.registry.auth.may
    assert not may(plain, cloud.function_app, "pull")
    assert may(proven, cloud.function_app, "pull")
