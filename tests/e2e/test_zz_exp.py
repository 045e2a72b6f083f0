"""The product as infra/ deploys it: its settings, its roles and its identity, and no others."""

from __future__ import annotations

import io
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.cloud import LocalCloud
from localcloud.roles import Assignment
from localcloud.snapshot import Deployer
from localcloud.state import Registry
from localcloud.storage import Operation
from localcloud.storage.operations import is_data
from tests import images

ROOT = Path(__file__).resolve().parent.parent.parent
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
SNAPSHOT = ROOT / "infra" / "minimal.snapshot.json"
STORAGE = "Microsoft.Storage/storageAccounts"
_SECONDS = 90


def package() -> bytes:
    """Return what is published: the app, and nothing of this cloud or the tests."""
    tracked = subprocess.run(
        ["git", "ls-files", "function_app.py", "host.json", "requirements.txt"]
        + ["functions", "rebuilder"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in tracked:
            archive.write(ROOT / name, name)
    return buffer.getvalue()


def until(look: Callable[[], Any], seconds: float = _SECONDS) -> Any:  # noqa: ANN401 - what comes
    """Return what comes in time; None if nothing does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    return None


class Deployed:
    """A cloud with two registries, a task, and the product deployed by the snapshot."""

    def __init__(self, cloud: LocalCloud, folder: Path) -> None:
        self.cloud = cloud
        cloud.create_group(SUBSCRIPTION, "registries", "westeurope")
        self.base, self.apps = self._registry("mybaseregistry"), self._registry("myappregistry")
        deployer = Deployer(cloud, cloud.developer)
        self.first = deployer.deploy(SNAPSHOT)
        self.deployer = deployer
        self.site = next(place for place in self.first if "/sites/" in place).partition("/config")[
            0
        ]
        identity = cloud.state.resource(next(p for p in self.first if "/userAssigned" in p))
        assert identity is not None
        self.principal_id = str(identity.properties["principalId"])
        digest = self.push("first")
        (folder / "Dockerfile").write_text("FROM mybaseregistry.azurecr.io/images/node:9\n")
        cloud.map_context("https://github.com/contoso/app.git", folder)
        host = "mybaseregistry.azurecr.io"
        task = images.task(
            self.apps,
            "app",
            [images.dependency(f"{host}/images/node:9", digest)],
            credentials={"customRegistries": {host: {"identity": "[system]"}}},
        )
        self.task_principal = images.identify(cloud, self.apps, task, ("AcrPull", self.base))

    def _registry(self, name: str) -> Registry:
        return self.cloud.create_registry(
            subscription_id=SUBSCRIPTION,
            resource_group="registries",
            name=name,
            location="westeurope",
        )

    def push(self, text: str) -> str:
        """Push a base image."""
        return images.push(self.cloud, self.base, "images/node", "9", text)

    def publish(self) -> None:
        """Publish the product's code with a bearer token, as the Azure CLI does."""
        token = self.cloud.tokens.issue(self.cloud.developer, "https://management.azure.com/")
        name = self.site.rpartition("/")[2]
        with self.cloud.network.client(timeout=60) as http:
            url = f"https://{name}.scm.azurewebsites.net/api/publish?RemoteBuild=True"
            headers = {"Authorization": f"Bearer {token}"}
            http.post(url, content=package(), headers=headers).raise_for_status()
        (deployment,) = self.cloud.apps.deployments(self.site)
        assert until(lambda: deployment.status != 2)
        assert deployment.status == 4, deployment.text

    def subscribe(self, function: str, topic: str, *types: str) -> None:
        """Subscribe a function to a system topic, as event-subscriptions.bicep does."""
        place = next(p for p in self.first if p.rpartition("/")[2].startswith(topic))
        account = next(p for p in self.first if p.rpartition("/")[0].endswith("storageAccounts"))
        body = {
            "properties": {
                "destination": {
                    "endpointType": "AzureFunction",
                    "properties": {"resourceId": f"{self.site}/functions/{function}"},
                },
                "filter": {"includedEventTypes": list(types)},
                "deadLetterWithResourceIdentity": {
                    "identity": {"type": "SystemAssigned"},
                    "deadLetterDestination": {
                        "endpointType": "StorageBlob",
                        "properties": {
                            "resourceId": account,
                            "blobContainerName": "dead-letters",
                        },
                    },
                },
            }
        }
        answer = self.deployer._ask(
            "PUT", f"{place}/eventSubscriptions/{function}", "2025-02-15", body
        )
        assert answer["properties"]["provisioningState"] == "Succeeded"

    def rebuilt(self, runs: int, seconds: float = _SECONDS) -> bool:
        """Tell whether the task has so many successful runs in time."""

        def enough() -> bool:
            over = [r for r in self.apps.runs.values() if r.properties["status"] == "Succeeded"]
            return len(over) >= runs

        return bool(until(enough, seconds))

    def log(self) -> str:
        """Return what the app has logged."""
        return self.cloud.apps.log(self.site)

    def assignments(self, provider: str) -> list[Assignment]:
        """Return the app's role assignments on resources of a provider."""
        return [
            a
            for a in self.cloud.roles.assignments()
            if a.principal_id == self.principal_id and f"/providers/{provider}/" in a.scope
        ]


@pytest.fixture(name="deployed")
def _deployed(cloud: LocalCloud, tmp_path: Path) -> Iterator[Deployed]:
    folder = tmp_path / "context"
    folder.mkdir()
    deployed = Deployed(cloud, folder)
    deployed.publish()
    deployed.subscribe("image_pushed", "egst-mybase", "Microsoft.ContainerRegistry.ImagePushed")
    deployed.subscribe(
        "task_changed",
        "egst-tasks",
        "Microsoft.Resources.ResourceWriteSuccess",
        "Microsoft.Resources.ResourceDeleteSuccess",
    )
    yield deployed
    deployed.deployer.close()


def _granted(deployed: Deployed, provider: str) -> set[str]:
    """Return every permission that the app's roles on a provider's resources give."""
    granted: set[str] = set()
    for assignment in deployed.assignments(provider):
        role = deployed.cloud.roles.role(assignment.role)
        assert role is not None
        for permission in role.permissions:
            granted |= {*permission.actions, *permission.data_actions}
    return granted


@pytest.mark.timeout(600)
def test_the_template_s_roles_are_enough_and_needed(deployed: Deployed) -> None:
    """A push rebuilds the image with the template's roles, and not without any one on a registry."""
    cloud = deployed.cloud
    deployed.push("second")
    assert deployed.rebuilt(1), deployed.log()[-6000:]

    runs = 1
    import collections

    per = collections.defaultdict(set)

    def show():
        for a in cloud.arm.actions:
            if a.principal_id == deployed.principal_id:
                per[a.scope.rpartition("registries/")[2].split("/")[0]].add(a.action)
        for k, v in per.items():
            print("USED", k, sorted(v))

    for a in deployed.assignments("Microsoft.ContainerRegistry"):
        role = cloud.roles.role(a.role)
        print("==", role.name, a.scope.rpartition("/")[2], role.permissions[0].actions)
        until(lambda: deployed.log().count(": Succeeded") >= runs, 60)
        time.sleep(2)
        cloud.roles.revoke(a.id)
        mark = len(deployed.log())
        deployed.push("without" + a.id)
        ok = deployed.rebuilt(runs + 1, 12)
        print("   rebuilt without:", ok)
        print(
            "   ",
            [
                l
                for l in deployed.log()[mark:].splitlines()
                if "ERROR" in l or "WARN" in l or "Exception" in l or "orbidden" in l
            ][:6],
        )
        cloud.roles.put(a)
        if not ok:
            deployed.push("with" + a.id)
            deployed.rebuilt(runs + 1, 60)
        runs = len(
            [r for r in deployed.apps.runs.values() if r.properties["status"] == "Succeeded"]
        )
    t = next(a for a in cloud.roles.assignments() if a.principal_id == deployed.task_principal)
    cloud.roles.revoke(t.id)
    until(lambda: deployed.log().count(": Succeeded") >= runs, 60)
    deployed.push("nopull")
    until(
        lambda: (
            "roleAssignments/read"
            in str({a.action for a in cloud.arm.actions if a.principal_id == deployed.principal_id})
        ),
        90,
    )
    time.sleep(25)
    show()
    print(deployed.log()[-9000:])
    assert 0
