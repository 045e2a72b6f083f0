"""Commands of the Azure CLI and of acr-cli in task files, carried out with the task's identity."""

from __future__ import annotations

import uuid

import pytest

from localcloud.cloud import LocalCloud
from localcloud.roles import Permission, Role
from localcloud.state import Registry, Run, Task
from tests import images
from tests.clocks import StoppedClock
from tests.runs import carry_out, encode, encoded, logged, of_task, outputs

HEAD = "version: v1.1.0\nsteps:\n"
IMPORTER = "Container Registry Data Importer and Data Reader"
LOGIN = "az login --identity"
IMPORT = "az acr import -n $RegistryName --source mybase.azurecr.io/node:18 -t node:18"
SOURCE_BY_ID = "az acr import -n myapps -r {id} --source node:18"


@pytest.fixture(name="base")
def _base(still: LocalCloud) -> Registry:
    """A base registry in the applications' subscription, with an image."""
    base = images.registry(still, "mybase")
    images.push(still, base, "node", "18", "one", {"file": b"one"})
    return base


@pytest.fixture(name="task")
def _task(apps: Registry) -> Task:
    return images.task(apps, "tasks", None)


def run(cloud: LocalCloud, apps: Registry, *commands: str) -> Run:
    """Carry out commands as the task does."""
    text = HEAD + "".join(f"- cmd: {command}\n" for command in commands)
    apps.tasks["tasks"].properties["step"] = {
        "type": "EncodedTask",
        "contextPath": "/dev/null",
        "encodedTaskContent": encode(text),
    }
    return carry_out(cloud, apps, of_task(apps, "tasks"))


def digest(cloud: LocalCloud, registry: Registry, name: str) -> str | None:
    """Return what repository:tag names; None if it is not there."""
    held = cloud.registry.manifest(registry, *name.split(":"))
    return held.digest if held else None


def test_an_image_is_imported(
    still: LocalCloud, base: Registry, apps: Registry, task: Task
) -> None:
    """With Contributor here and AcrPull there; ACR records nothing, and a tag is moved by force."""
    images.identify(still, apps, task, (IMPORTER, apps), (IMPORTER, base))
    done = run(still, apps, LOGIN, IMPORT)
    assert done.properties["status"] == "Succeeded", logged(done)
    assert digest(still, apps, "node:18") == digest(still, base, "node:18")
    assert outputs(done) == []
    assert "baseImageDependencies" not in task.properties["step"]

    images.push(still, base, "node", "18", "two", {"file": b"two"})
    again = run(still, apps, LOGIN, IMPORT)
    assert "ERROR: (Conflict)" in again.properties["runErrorMessage"]
    forced = run(still, apps, f"{LOGIN} && docker version", f"{IMPORT} --image a/b --force")
    assert forced.properties["status"] == "Succeeded", logged(forced)
    assert digest(still, apps, "a/b:18") == digest(still, apps, "node:18")
    assert digest(still, apps, "node:18") == digest(still, base, "node:18")


def test_where_an_image_comes_from(
    still: LocalCloud, base: Registry, apps: Registry, task: Task
) -> None:
    """By host, by the registry's name, host or id, with a password, or from Docker Hub."""
    images.identify(still, apps, task, (IMPORTER, apps), (IMPORTER, base))
    password, subscription = base.admin_password, apps.subscription_id.upper()
    for number, command in enumerate(
        (
            "az acr import -n myapps --source mybase.azurecr.io/node:18",
            "az acr import --name MyApps --registry mybase --source node:18 --force",
            "az acr import -n myapps -r mybase.azurecr.io --source mybase.azurecr.io/node:18",
            f"az acr import -n myapps -r {base.id} --source node:18",
            "az acr import -n myapps --source docker.io/library/node:9-alpine",
            f"az acr import -n myapps --source mybase.azurecr.io/node:18 -u mybase -p {password}",
            (
                f"az account set -s {subscription} && az acr import -n myapps -r {base.id}"
                " --source node:18"
            ),
        )
    ):
        script = f"{LOGIN} && {command} -t node:{number}"
        done = run(still, apps, f"mcr.microsoft.com/azure-cli sh -c '{script}'")
        assert done.properties["status"] == "Succeeded", logged(done)
        assert digest(still, apps, f"node:{number}")


def test_an_untagged_copy(still: LocalCloud, base: Registry, apps: Registry, task: Task) -> None:
    """By digest, into a repository without a tag."""
    images.identify(still, apps, task, (IMPORTER, apps), (IMPORTER, base))
    found = digest(still, base, "node:18")
    source = f"mybase.azurecr.io/node@{found}"
    done = run(still, apps, LOGIN, f"az acr import -n myapps --source {source} --repository copy")
    assert done.properties["status"] == "Succeeded", logged(done)
    assert still.registry.manifest(apps, "copy", str(found))
    tagged = run(still, apps, LOGIN, f"az acr import -n myapps --source {source}")
    assert tagged.properties["status"] == "Succeeded", logged(tagged)
    assert digest(still, apps, "node:latest") == found


@pytest.mark.parametrize(
    ("roles", "command", "said"),
    [
        ((), IMPORT, "No access was configured for the managed identity"),
        ((("Reader", "apps"), (IMPORTER, "base")), IMPORT, "(AuthorizationFailed)"),
        (((IMPORTER, "apps"),), IMPORT, "(Forbidden) The source registry 'mybase.azurecr.io'"),
        (((IMPORTER, "apps"),), SOURCE_BY_ID, "(Forbidden) The client may not pull"),
        (((IMPORTER, "base"),), IMPORT, "could not be found in subscription"),
    ],
)
def test_a_role_that_is_missing_is_missed(
    still: LocalCloud,
    base: Registry,
    apps: Registry,
    task: Task,
    roles: tuple[tuple[str, str], ...],
    command: str,
    said: str,
) -> None:
    """As Azure says it, and nothing is imported."""
    places = {"apps": apps, "base": base}
    images.identify(still, apps, task, *((role, places[where]) for role, where in roles))
    done = run(still, apps, LOGIN, command.format(id=base.id))
    assert done.properties["status"] == "Failed"
    assert said in done.properties["runErrorMessage"]
    assert digest(still, apps, "node:18") is None


def test_what_is_not_there_is_named(
    still: LocalCloud, base: Registry, apps: Registry, task: Task
) -> None:
    """In the words of the Azure CLI or of ARM."""
    images.identify(still, apps, task, (IMPORTER, apps), (IMPORTER, base))
    for command, said in (
        ("az acr import -n none --source mybase.azurecr.io/node:18", "could not be found"),
        ("az acr import -n myapps --source node:18", "Source cannot be found."),
        ("az acr import -n myapps -r none --source node:18", "The source container registry can"),
        ("az acr import -n myapps --source none.azurecr.io/node:18", "(InvalidParameters)"),
        ("az acr import -n myapps --source mybase.azurecr.io/none:1", "(MANIFEST_UNKNOWN)"),
        ("az account set -s none", "The subscription of 'none' doesn't exist"),
        ("az acr login -n none", "could not be found"),
    ):
        done = run(still, apps, LOGIN, command)
        assert done.properties["status"] == "Failed", logged(done)
        assert said in done.properties["runErrorMessage"]


def test_who_is_not_signed_in_does_nothing(
    still: LocalCloud, base: Registry, apps: Registry, task: Task
) -> None:
    """Each run signs in anew; one without an identity cannot."""
    images.identify(still, apps, task, (IMPORTER, apps), (IMPORTER, base))
    assert run(still, apps, LOGIN, "az account show").properties["status"] == "Succeeded"
    done = run(still, apps, IMPORT)
    assert "ERROR: Please run 'az login'" in done.properties["runErrorMessage"]
    task.identity = None
    done = run(still, apps, LOGIN)
    assert "Failed to connect to MSI" in done.properties["runErrorMessage"]
    quick = carry_out(still, apps, encoded(f"{HEAD}- cmd: {LOGIN}\n"))
    assert "Failed to connect to MSI" in quick.properties["runErrorMessage"]


def test_an_identity_of_ones_own_signs_in(
    still: LocalCloud, base: Registry, apps: Registry, task: Task
) -> None:
    """By client id, object id or resource id; without either, if it is the only one."""
    who = still.directory.create("own")
    entry = {"clientId": who.client_id, "principalId": who.object_id}
    task.identity = {"type": "UserAssigned", "userAssignedIdentities": {"/ids/Own": entry}}
    for role, where in ((IMPORTER, apps), (IMPORTER, base)):
        still.roles.assign(role, who.object_id, where.id)
    for name in (
        "",
        f"-u {who.client_id}",
        f"--object-id {who.object_id}",
        "--resource-id /ids/own",
    ):
        done = run(still, apps, f"{LOGIN} {name}", f"{IMPORT} --force")
        assert done.properties["status"] == "Succeeded", logged(done)
    done = run(still, apps, f"{LOGIN} --client-id none")
    assert "The task has no identity none" in done.properties["runErrorMessage"]
    lonely = still.directory.create("lonely")
    task.identity = {"type": "SystemAssigned", "principalId": lonely.object_id}
    alone = run(still, apps, f"{LOGIN} --allow-no-subscriptions", "az account show")
    assert alone.properties["status"] == "Succeeded", logged(alone)


def test_docker_signs_in_by_the_azure_cli(
    still: LocalCloud, base: Registry, apps: Registry, task: Task
) -> None:
    """`az acr login` opens a registry for docker's commands, where a role lets it."""
    reads = Permission(("Microsoft.ContainerRegistry/registries/read",))
    still.roles.define(Role(str(uuid.uuid4()), "Looks", "", (reads,), built_in=False))
    identity = images.identify(still, apps, task, ("Looks", base))
    pull = "docker pull mybase.azurecr.io/node:18"
    assert "unauthorized" in run(still, apps, pull).properties["runErrorMessage"]
    refused = run(still, apps, LOGIN, "az acr login -n mybase", pull)
    assert "401 Unauthorized" in refused.properties["runErrorMessage"]
    still.roles.assign("AcrPull", identity, base.id)
    done = run(still, apps, LOGIN, "az acr login --name mybase", pull)
    assert done.properties["status"] == "Succeeded", logged(done)


def fill(still: LocalCloud, apps: Registry, clock: StoppedClock) -> None:
    """Push tags of several ages: v1 the oldest, v4 the newest, each an hour younger."""
    for number in range(1, 5):
        images.push(still, apps, "app", f"v{number}", f"app {number}")
        images.push(still, apps, "other/app", f"v{number}", f"other {number}")
        clock.forward(3600)


def tags(still: LocalCloud, registry: Registry, repository: str) -> list[str]:
    """Return a repository's tags."""
    return sorted(still.registry.store.repository(registry, repository).tags)


@pytest.mark.parametrize(
    ("flags", "app", "other"),
    [
        ("--filter 'app:v.' --ago 150m", ["v3", "v4"], ["v1", "v2", "v3", "v4"]),
        ("--filter 'app:^v[12]$' --ago 0d", ["v3", "v4"], ["v1", "v2", "v3", "v4"]),
        ("--filter '.*app:2' --filter app:4 --ago 0d", ["v1", "v3"], ["v1", "v3", "v4"]),
        ("--filter app:. --ago 0d --keep 1", ["v4"], ["v1", "v2", "v3", "v4"]),
        ("--filter app:. --ago 1d", ["v1", "v2", "v3", "v4"], ["v1", "v2", "v3", "v4"]),
        ("--filter app:. --ago 0d --dry-run --untagged", ["v1", "v2", "v3", "v4"], None),
        ("--filter none:. --ago 0d --untagged", ["v1", "v2", "v3", "v4"], None),
    ],
)
def test_tags_are_purged(
    still: LocalCloud,
    apps: Registry,
    clock: StoppedClock,
    task: Task,
    flags: str,
    app: list[str],
    other: list[str] | None,
) -> None:
    """Those that match and are old enough; the newest of them may be kept; manifests stay."""
    fill(still, apps, clock)
    before = len(still.registry.store.repository(apps, "app").manifests)
    done = run(still, apps, f"acr purge {flags}")
    assert done.properties["status"] == "Succeeded", logged(done)
    assert tags(still, apps, "app") == app
    assert tags(still, apps, "other/app") == (other or ["v1", "v2", "v3", "v4"])
    assert len(still.registry.store.repository(apps, "app").manifests) == before
    assert "Number of" in logged(done)
    assert task.name == "tasks"


def test_manifests_without_a_tag_are_purged(
    still: LocalCloud, apps: Registry, clock: StoppedClock, task: Task
) -> None:
    """But not those that an index holds or that are locked, nor the younger ones."""
    fill(still, apps, clock)
    del task
    children = [images.push(still, apps, "app", "", name) for name in ("amd64", "arm64")]
    media_type = "application/vnd.oci.image.index.v1+json"
    entries = ", ".join(f'{{"digest": "{child}"}}' for child in children)
    index = f'{{"mediaType": "{media_type}", "manifests": [{entries}]}}'.encode()
    still.registry.put_manifest(apps, "app", "multi", media_type, index)
    loose = images.push(still, apps, "app", "", "loose")
    locked = images.push(still, apps, "app", "", "locked")
    attributes = still.registry.store.repository(apps, "app").attributes
    attributes[locked] = {"deleteEnabled": False}
    attributes["v1"] = {"writeEnabled": False}
    clock.forward(3600)
    young = images.push(still, apps, "app", "", "young")
    purge = "acr purge --filter app:^v --ago 30m --untagged"

    told = run(still, apps, f"{purge} --dry-run")
    assert "Number of tags to be deleted: 3" in logged(told)
    assert "Number of manifests to be deleted: 4" in logged(told)
    assert f"Would delete: myapps.azurecr.io/app@{loose}" in logged(told)
    done = run(still, apps, purge)
    assert done.properties["status"] == "Succeeded", logged(done)
    assert "Number of deleted manifests: 4" in logged(done)
    held = still.registry.store.repository(apps, "app").manifests
    assert {*children, locked, young} <= set(held)
    assert loose not in held
    assert tags(still, apps, "app") == ["multi", "v1"]


def test_another_registry_is_purged_with_its_role_only(
    still: LocalCloud, base: Registry, apps: Registry, task: Task, clock: StoppedClock
) -> None:
    """The run's credentials for it decide."""
    identity = images.identify(still, apps, task, ("AcrPull", base))
    given = {"customRegistries": {base.login_server: {"identity": "[system]"}}}
    task.properties["credentials"] = given
    purge = "acr purge -r mybase --filter node:. --ago 0d"
    clock.forward(60)
    done = run(still, apps, purge)
    assert done.properties["status"] == "Failed", logged(done)
    assert tags(still, base, "node") == ["18"]
    still.roles.assign("AcrDelete", identity, base.id)
    done = run(still, apps, purge.replace("mybase", "mybase.azurecr.io"))
    assert done.properties["status"] == "Succeeded", logged(done)
    assert tags(still, base, "node") == []
