"""The product as infra/ deploys it: its settings, its roles and its identity, and no others."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from copy import replace
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from localcloud.deploy import PARAMETERS
from localcloud.roles import Assignment, Permission, covers
from localcloud.sample import NAMES
from localcloud.state import Json, Registry
from tests import images
from tests.patience import until

ROOT = Path(__file__).resolve().parent.parent.parent
SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
HOST = f"{NAMES['BASE_ACR']}.azurecr.io"
CONTEXT = "https://github.com/contoso/app.git"
PUBLISHED = ("function_app.py", "host.json", "requirements.txt", "functions", "rebuilder")
_ROLES = ("roleAssignments/read", "roleDefinitions/read")


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

    def publish(self) -> None:
        """Publish the product's code with a bearer token, as the Azure CLI does."""
        token = self.cloud.tokens.issue(self.cloud.developer, "https://management.azure.com/")
        name = self.site.rpartition("/")[2]
        with self.cloud.network.client() as http:
            url = f"https://{name}.scm.azurewebsites.net/api/publish?RemoteBuild=True"
            headers = {"Authorization": f"Bearer {token}"}
            http.post(url, content=package(), headers=headers).raise_for_status()
        (deployment,) = self.cloud.apps.deployments(self.site)
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


@pytest.fixture(name="deployed")
def _deployed(cloud: LocalCloud, tmp_path: Path) -> Deployed:
    return _published(cloud, tmp_path)


def _published(cloud: LocalCloud, tmp_path: Path, **more: object) -> Deployed:
    folder = tmp_path / "context"
    folder.mkdir()
    deployed = Deployed(cloud, folder, **more)
    deployed.publish()
    values = deployed.outputs["EVENT_SUBSCRIPTION_PARAMETERS"]
    deployed.deploy("event-subscriptions", {name: v["value"] for name, v in values.items()})
    return deployed


@pytest.mark.timeout(1800)
def test_a_push_rebuilds_by_the_queue_as_well(cloud: LocalCloud, tmp_path: Path) -> None:
    """Event Grid calls no function: it writes into the queue, and the same rebuild comes of it."""
    deployed = _published(cloud, tmp_path, eventDelivery="queue")
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
