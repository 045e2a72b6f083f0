"""What ProbeRegistries must do, through Azure's SDKs against the local cloud."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localcloud.arm import Fault
from localcloud.cloud import LocalCloud
from localcloud.state import Registry
from rebuilder.azure.acr.images import AcrImages
from rebuilder.azure.acr.probe import AcrProbe
from rebuilder.azure.acr.tasks import ArmTasks
from rebuilder.azure.identity import PUBLIC_ARM, credential
from rebuilder.composition import probe_registries
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.probe.artifacts import SAMPLE, SCRATCH, TAG, sample_context, scratch_image
from rebuilder.core.probe.sample import NAME, ROLE_IDS, Sample
from rebuilder.errors import Denied, NotFound, Refused
from rebuilder.settings import Settings
from tests import images
from tests.runs import carry_out, logged, of_task, outputs, status

_MODES = {False: "LegacyRegistryPermissions", True: "AbacRepositoryPermissions"}
pytestmark = pytest.mark.usefixtures("_developer")


@pytest.fixture(name="_developer")
def _be_the_developer(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person asks, who owns the subscriptions."""
    for name, value in cloud.environment(cloud.developer).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(name="probe")
def _probe(_developer: None) -> Iterator[AcrProbe]:
    made = probe_registries(Settings(frozenset(), (), "sqlite:unused"))
    assert isinstance(made, AcrProbe)
    yield made
    made.close()


def identify(registry: Registry) -> RegistryId:
    """Return a registry as the product names it."""
    return RegistryId.parse(registry.id)


def sample(base: Registry, tasks: Registry) -> Sample:
    """Return the sample of two registries."""
    return Sample(TaskId(identify(tasks), NAME), identify(base), base.login_server)


def test_what_is_pushed_is_an_image(cloud: LocalCloud, probe: AcrProbe) -> None:
    """It has the digest that was worked out, and the product reads it as an image."""
    base = images.registry(cloud, "mybase")
    artifact = scratch_image("one")
    probe.push(base.login_server, SCRATCH, TAG, artifact)
    probe.push(base.login_server, SCRATCH, TAG, artifact)
    reader = AcrImages(credential(""), PUBLIC_ARM)
    found = reader.content(base.login_server, SCRATCH, TAG, "linux/amd64")
    reader.close()

    assert found is not None
    assert found.digest == artifact.digest
    assert len(found.layers) == 1


@pytest.mark.parametrize("abac", [False, True])
def test_whoever_may_not_push_is_denied(cloud: LocalCloud, probe: AcrProbe, *, abac: bool) -> None:
    """In a registry with ABAC even its owner may not."""
    base = images.registry(cloud, "mybase", roleAssignmentMode=_MODES[abac])
    if not abac:
        _revoke(cloud, "Owner")
    with pytest.raises(Denied, match=f"push {base.login_server}/{SCRATCH}:latest"):
        probe.push(base.login_server, SCRATCH, TAG, scratch_image("one"))


def _revoke(cloud: LocalCloud, name: str) -> None:
    role = cloud.roles.role(name)
    assert role is not None
    for assignment in cloud.roles.assignments():
        if (assignment.role, assignment.principal_id) == (role.id, cloud.developer.object_id):
            cloud.roles.revoke(assignment.id)


@pytest.mark.parametrize(
    ("base_abac", "task_abac"), [(False, False), (False, True), (True, False), (True, True)]
)
def test_the_sample_runs(
    cloud: LocalCloud, probe: AcrProbe, *, base_abac: bool, task_abac: bool
) -> None:
    """The task that is made, with the roles that it needs and no more, builds and pushes."""
    base = images.registry(cloud, "mybase", roleAssignmentMode=_MODES[base_abac])
    apps = images.registry(cloud, "myapps", 1, roleAssignmentMode=_MODES[task_abac])
    cloud.roles.assign(
        "Container Registry Repository Contributor", cloud.developer.object_id, base.id
    )
    made = sample(base, apps)
    probe.push(base.login_server, SCRATCH, TAG, scratch_image("one"))
    context = sample_context(f"{base.login_server}/{SCRATCH}:{TAG}")
    probe.push(base.login_server, "acr-rebuilder/sample-context", TAG, context)
    principal = probe.make(made)
    assert (probe.abac(made.base), probe.abac(made.task.registry)) == (base_abac, task_abac)
    for registry, role in made.roles(base_abac=base_abac, task_abac=task_abac):
        assert probe.grant(registry, principal, role)
        assert not probe.grant(registry, principal, role)
    run = carry_out(cloud, apps, of_task(apps, NAME))

    assert status(cloud, apps, run) == "Succeeded", logged(run)
    assert outputs(run) == [f"{SAMPLE}:{TAG}"]
    reader = ArmTasks(credential(""), PUBLIC_ARM)
    found = reader.task(made.task)
    reader.close()
    assert found.step == made.step
    assert found.principals == (principal,)
    assert found.enabled
    assert (found.native_trigger, found.other_triggers) == (False, False)


def test_one_registry_needs_no_credentials(cloud: LocalCloud, probe: AcrProbe) -> None:
    """A task pulls from its own registry as itself."""
    both = images.registry(cloud, "mybase")
    made = sample(both, both)
    probe.push(both.login_server, SCRATCH, TAG, scratch_image("one"))
    context = sample_context(f"{both.login_server}/{SCRATCH}:{TAG}")
    probe.push(both.login_server, "acr-rebuilder/sample-context", TAG, context)
    probe.make(made)
    run = carry_out(cloud, both, of_task(both, NAME))

    assert status(cloud, both, run) == "Succeeded", logged(run)


def test_roles_are_known_whoever_gave_them(cloud: LocalCloud, probe: AcrProbe) -> None:
    """One that somebody else gave is not given again; only ours is taken back."""
    base, apps = images.registry(cloud, "mybase"), images.registry(cloud, "myapps")
    made = sample(base, apps)
    principal = probe.make(made)
    cloud.roles.assign("AcrPull", principal, base.id)
    assert not probe.grant(made.base, principal, "AcrPull")
    assert not probe.revoke(made.base, principal, "AcrPull")
    other = cloud.directory.create("other").object_id
    assert probe.grant(made.base, other, "AcrPull")
    assert probe.revoke(made.base, other, "AcrPull")
    assert not probe.revoke(made.base, other, "AcrPull")


def test_roles_that_cannot_be_read_are_given(cloud: LocalCloud, probe: AcrProbe) -> None:
    """What is there already is no error; everything else is."""
    base, apps = images.registry(cloud, "mybase"), images.registry(cloud, "myapps")
    made = sample(base, apps)
    principal = probe.make(made)
    cloud.roles.assign("AcrPull", principal, base.id)
    cloud.arm.faults.append(Fault("GET", "roleAssignments", 403, code="AuthorizationFailed"))
    assert not probe.grant(made.base, principal, "AcrPull")
    with pytest.raises(Refused, match="PrincipalNotFound"):
        probe.grant(made.base, "99999999-9999-4999-8999-999999999999", "AcrPull")
    _revoke(cloud, "Owner")
    cloud.roles.assign("Reader", cloud.developer.object_id, base.id)
    with pytest.raises(Denied, match="AuthorizationFailed"):
        probe.grant(made.base, cloud.developer.object_id, "AcrPull")


def test_what_was_made_is_deleted(cloud: LocalCloud, probe: AcrProbe) -> None:
    """Once; then there is nothing."""
    base, apps = images.registry(cloud, "mybase"), images.registry(cloud, "myapps")
    made = sample(base, apps)
    probe.make(made)
    probe.push(base.login_server, SCRATCH, TAG, scratch_image("one"))

    assert probe.delete_task(made.task)
    assert not probe.delete_task(made.task)
    assert probe.delete_repository(base.login_server, SCRATCH)
    assert not probe.delete_repository(base.login_server, SCRATCH)
    assert apps.tasks == {}


def test_a_registry_that_is_not_there_is_told(cloud: LocalCloud, probe: AcrProbe) -> None:
    """By ARM, and by whoever answers at its name."""
    images.registry(cloud, "mybase")
    gone = RegistryId(images.SUBSCRIPTIONS[0], "rg-mybase", "nobody")
    with pytest.raises(NotFound):
        probe.abac(gone)
    with pytest.raises(NotFound):
        probe.push("nobody.azurecr.io", SCRATCH, TAG, scratch_image("one"))


def test_the_roles_are_azures(cloud: LocalCloud) -> None:
    """By their ids."""
    for name, given in ROLE_IDS.items():
        role = cloud.roles.role(name)
        assert role is not None
        assert role.id == given
