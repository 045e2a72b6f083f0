"""The product as infra/ deploys it on the local cloud."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from pathlib import Path

from localcloud.cloud import LocalCloud
from localcloud.deploy import PARAMETERS
from localcloud.roles import Assignment, covers
from localcloud.sample import NAMES
from localcloud.state import Json, Registry
from tests import images
from tests.infra.templates import ROOT
from tests.patience import until

SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
HOST = f"{NAMES['BASE_ACR']}.azurecr.io"
CONTEXT = "https://github.com/contoso/app.git"
PUBLISHED = ("function_app.py", "host.json", "requirements.txt", "functions", "rebuilder")


def package() -> bytes:
    """Return what is published: the app, and nothing of this cloud or the tests."""
    tracked = subprocess.run(
        ["git", "ls-files", *PUBLISHED],
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


class Deployed:
    """A cloud with two registries, a task, and the product deployed by the templates of infra/."""

    def __init__(self, cloud: LocalCloud, folder: Path, **more: object) -> None:
        self.cloud = cloud
        self.base, self.apps = (self._registry(NAMES[n]) for n in ("BASE_ACR", "ACR_NAME"))
        values = {name: value for name, value in PARAMETERS.items() if name != "sampleTask"} | more
        self.outputs = self.deploy("main", values)
        self.site = self.outputs["FUNCTION_APP_RESOURCE_ID"]
        self.principal_id = self.outputs["IDENTITY_PRINCIPAL_ID"]
        digest = self.push("first")
        (folder / "Dockerfile").write_text(f"FROM {HOST}/images/node:9\n")
        cloud.map_context(CONTEXT, folder)
        task = images.task(
            self.apps,
            "app",
            [images.dependency(f"{HOST}/images/node:9", digest)],
            credentials={"customRegistries": {HOST: {"identity": "[system]"}}},
        )
        self.task_principal = images.identify(cloud, self.apps, task, ("AcrPull", self.base))

    def _registry(self, name: str) -> Registry:
        return self.cloud.create_registry(
            subscription_id=SUBSCRIPTION,
            resource_group="registries",
            name=name,
            location="westeurope",
        )

    def deploy(self, template: str, values: Json) -> Json:
        """Deploy a template of infra/ at the subscription; return its outputs' values."""
        token = self.cloud.tokens.issue(self.cloud.developer, "https://management.azure.com/")
        text = (ROOT / "infra" / f"{template}.json").read_text("utf-8")
        body = {
            "location": "westeurope",
            "properties": {
                "mode": "Incremental",
                "template": json.loads(text),
                "parameters": {name: {"value": value} for name, value in values.items()},
            },
        }
        url = f"https://management.azure.com/subscriptions/{SUBSCRIPTION}"
        url += f"/providers/Microsoft.Resources/deployments/{template}?api-version=2024-11-01"
        with self.cloud.network.client() as http:
            headers = {"Authorization": f"Bearer {token}"}
            http.put(url, json=body, headers=headers).raise_for_status()
            answer = http.get(url, headers=headers).json()
        assert answer["properties"]["provisioningState"] == "Succeeded", answer
        outputs: Json = answer["properties"].get("outputs") or {}
        return {name: output["value"] for name, output in outputs.items()}

    def push(self, text: str) -> str:
        """Push a base image."""
        return images.push(self.cloud, self.base, "images/node", "9", text)

    def publish(self, site: str = "") -> None:
        """Publish the product's code with a bearer token, as the Azure CLI does.

        Args:
            site: The resource id of another app than the one that rebuilds.
        """
        token = self.cloud.tokens.issue(self.cloud.developer, "https://management.azure.com/")
        name = (site or self.site).rpartition("/")[2]
        with self.cloud.network.client() as http:
            url = f"https://{name}.scm.azurewebsites.net/api/publish?RemoteBuild=True"
            headers = {"Authorization": f"Bearer {token}"}
            http.post(url, content=package(), headers=headers).raise_for_status()
        (deployment,) = self.cloud.apps.deployments(site or self.site)
        until(lambda: deployment.status != 2)
        assert deployment.status == 4, deployment.text

    def await_rebuild(self) -> None:
        """Wait until the product has seen a rebuild succeed."""
        self.await_log(": Succeeded")

    def await_log(self, said: str) -> None:
        """Wait until the product has logged a text; a failure shows what it has logged."""
        try:
            until(lambda: said in self.log())
        except AssertionError as error:
            raise AssertionError(f"{said!r} is not in {self.log()[-6000:]}") from error

    def used(self, registry: Registry) -> set[str]:
        """Return the actions that the product asked of ARM on a registry."""
        return {
            action.action
            for action in self.cloud.arm.actions
            if action.principal_id == self.principal_id and covers(registry.id, action.scope)
        }

    def log(self) -> str:
        """Return what the app has logged."""
        return self.cloud.apps.log(self.site)

    def assignments(self, registry: Registry) -> list[Assignment]:
        """Return the product's role assignments on a registry."""
        found = self.cloud.roles.assignments()
        mine = [a for a in found if a.principal_id == self.principal_id]
        return [a for a in mine if covers(registry.id, a.scope)]

    def custom(self, registry: Registry) -> Assignment:
        """Return the assignment of the template's own role on a registry."""
        roles = self.cloud.roles
        (found,) = [
            a
            for a in self.assignments(registry)
            if (role := roles.role(a.role)) is not None and not role.built_in
        ]
        return found

    def granted(self, registry: Registry) -> set[str]:
        """Return the actions that the template's own role gives on a registry."""
        role = self.cloud.roles.role(self.custom(registry).role)
        assert role is not None
        return {action for permission in role.permissions for action in permission.actions}


def published(cloud: LocalCloud, tmp_path: Path, **more: object) -> Deployed:
    """Deploy the product, publish it and subscribe it to events."""
    folder = tmp_path / "context"
    folder.mkdir()
    deployed = Deployed(cloud, folder, **more)
    deployed.publish()
    values = deployed.outputs["EVENT_SUBSCRIPTION_PARAMETERS"]
    deployed.deploy("event-subscriptions", {name: v["value"] for name, v in values.items()})
    return deployed
