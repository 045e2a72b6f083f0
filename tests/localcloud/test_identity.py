"""Managed identities: their endpoint, and what a task's run may pull and push with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ManagedIdentityCredential
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient

from localcloud.cloud import LocalCloud
from localcloud.directory import Directory
from localcloud.identity import Identities, identity_app
from localcloud.network import Network
from localcloud.state import Json, Registry, Run
from localcloud.tokens import Credential, Tokens
from tests import images, patience
from tests.clocks import StoppedClock
from tests.patience import SECONDS

ARM = "https://management.azure.com"
CONTEXT = "https://github.com/contoso/app.git"
ABAC = "AbacRepositoryPermissions"
READER = "Container Registry Repository Reader"
WRITER = "Container Registry Repository Writer"
IDENTITY = (
    f"/subscriptions/{images.SUBSCRIPTIONS[0]}/resourceGroups/rg-myapps/providers"
    "/Microsoft.ManagedIdentity/userAssignedIdentities/puller"
)


def test_an_identity_is_asked_for_by_each_of_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azure's client gets the token of the identity that it names, and only of this resource's."""
    directory = Directory()
    tokens = Tokens(StoppedClock(), directory)
    mine, foreign = (directory.create(name, f"/{name}") for name in ("mine", "foreign"))

    def oid(**options: Any) -> str:  # noqa: ANN401 - the credential's own options
        with ManagedIdentityCredential(**options) as credential:
            token = credential.get_token(f"{ARM}/.default").token
        return str(jwt.decode(token, options={"verify_signature": False})["oid"])

    with Network(tmp_path) as network:
        known = {"secret": Identities(None, (mine,)), "other": Identities(foreign)}
        address = network.serve(identity_app(tokens, StoppedClock(), known))
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{address}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "secret")

        assert oid(client_id=mine.client_id.upper()) == mine.object_id
        assert oid(identity_config={"object_id": mine.object_id}) == mine.object_id
        assert oid(identity_config={"resource_id": "/MINE"}) == mine.object_id
        for options in ({}, {"client_id": foreign.client_id}):
            with pytest.raises(ClientAuthenticationError, match="No User Assigned or Delegated"):
                oid(**options)
        monkeypatch.setenv("IDENTITY_HEADER", "other")
        assert oid() == foreign.object_id
        wrong = patience.get(
            f"{address}/msi/token",
            params={"api-version": "2017-09-01", "resource": ARM},
            headers={"X-IDENTITY-HEADER": "other"},
        )
    assert wrong.status_code == 400


@pytest.fixture(name="base")
def _base(cloud: LocalCloud, tmp_path: Path) -> Registry:
    """A base registry with an image, and a context that is built on it."""
    base = images.registry(cloud, "mybase", 1)
    images.push(cloud, base, "node", "1", "base")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "Dockerfile").write_text("FROM mybase.azurecr.io/node:1\n")
    cloud.map_context(CONTEXT, tmp_path / "source")
    return base


@pytest.fixture(name="apps")
def _apps(cloud: LocalCloud) -> Registry:
    return images.registry(cloud, "myapps")


def create(cloud: LocalCloud, where: Registry, name: str, **more: Json) -> str:
    """Create a task by the SDK, as `az acr task create` does; return its identity's object id."""
    body: Any = {
        "location": "westeurope",
        "identity": more.get("identity") or {"type": "SystemAssigned"},
        "properties": {
            "platform": {"os": "Linux"},
            "credentials": more["credentials"],
            "step": {
                "type": "Docker",
                "contextPath": CONTEXT,
                "dockerFilePath": "Dockerfile",
                "imageNames": [f"{name}:{{{{.Run.ID}}}}"],
            },
        },
    }
    credential = Credential(cloud.tokens, cloud.developer)
    with ContainerRegistryTasksMgmtClient(credential, where.subscription_id) as client:
        made = client.tasks.create(where.resource_group, where.name, name, body)
    return str(made.identity.principal_id) if made.identity else ""


def finished(cloud: LocalCloud, where: Registry, *requests: Json) -> list[Run]:
    """Schedule runs by the SDK and wait for their end."""
    credential = Credential(cloud.tokens, cloud.developer)
    with ContainerRegistryTasksMgmtClient(credential, where.subscription_id) as client:
        started: list[Any] = [
            client.registries.schedule_run(where.resource_group, where.name, request)
            for request in requests
        ]
    assert cloud.wait_idle(SECONDS)
    return [where.runs[run.name] for run in started]


def by_task(where: Registry, name: str) -> Json:
    """Return the request for a task's run."""
    return {"type": "TaskRunRequest", "taskId": f"{where.id}/tasks/{name}"}


def custom(**entry: Any) -> Json:  # noqa: ANN401 - ARM's wire form
    """Return credentials for the base registry."""
    return {"customRegistries": {"mybase.azurecr.io": entry}}


def opaque(value: str, kind: str = "Opaque") -> Json:
    """Return a secret in ARM's wire form."""
    return {"type": kind, "value": value}


def outcomes(runs: list[Run], said: list[str]) -> list[tuple[str, bool]]:
    """Return each run's status and whether its log says what it is to say."""
    return [
        (run.properties["status"], text in "\n".join(run.log))
        for run, text in zip(runs, said, strict=True)
    ]


def test_a_run_pulls_with_the_identity_that_its_task_names(
    cloud: LocalCloud, base: Registry, apps: Registry
) -> None:
    """Identity, credential and role are needed, all three; without one the run fails as in ACR."""
    mine = custom(identity="[system]")
    roles = {
        "granted": ("AcrPull", mine, "was successful"),
        "inherited": ("Reader", mine, "was successful"),
        "roleless": ("", mine, "exchange API response code: 401 Unauthorized"),
        "deleter": ("AcrDelete", mine, "unauthorized: authentication required"),
        "nocredential": ("AcrPull", {}, "unauthorized: authentication required"),
        "elsewhere": ("AcrPull", custom(identity="other"), "the run has no identity other"),
    }
    for name, (role, credentials, _) in roles.items():
        principal = create(cloud, apps, name, credentials=credentials)
        if role:
            cloud.roles.assign(role, principal, base.id)
    runs = finished(cloud, apps, *(by_task(apps, name) for name in roles))

    found = outcomes(runs, [said for _, _, said in roles.values()])
    assert dict(zip(roles, found, strict=True)) == {
        name: ("Succeeded" if "successful" in said else "Failed", True)
        for name, (_, _, said) in roles.items()
    }
    assert all(run.properties["runErrorMessage"] for run in runs[2:])


def test_a_role_counts_for_the_next_run(cloud: LocalCloud, base: Registry, apps: Registry) -> None:
    """The tutorial's mistake and its mending: no role, the role, and the role taken away."""
    principal = create(cloud, apps, "builder", credentials=custom(identity="[system]"))
    statuses = []
    for change in ("none", "assign", "revoke"):
        if change == "assign":
            made = cloud.roles.assign("AcrPull", principal, base.id)
        elif change == "revoke":
            cloud.roles.revoke(made.id)
        (run,) = finished(cloud, apps, by_task(apps, "builder"))
        statuses.append(run.properties["status"])

    assert statuses == ["Failed", "Succeeded", "Failed"]


def test_a_user_assigned_identity_is_named_by_its_client_id(
    cloud: LocalCloud, base: Registry, apps: Registry
) -> None:
    """Its role counts, not the system-assigned one's; others than the task's own are not known."""
    token = cloud.tokens.issue(cloud.developer, ARM)
    with cloud.network.client(base_url=ARM) as client:
        answer = client.put(
            IDENTITY,
            params={"api-version": "2023-01-31"},
            headers={"Authorization": f"Bearer {token}"},
            json={"location": "westeurope"},
        )
    puller = answer.json()["properties"]
    both = {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    named = custom(identity=puller["clientId"].upper())
    for name, identity, credentials in (
        ("named", both, named),
        ("system", both, custom(identity="[system]")),
        ("without", {"type": "SystemAssigned"}, named),
    ):
        create(cloud, apps, name, identity=identity, credentials=credentials)
    before = finished(cloud, apps, by_task(apps, "named"))
    cloud.roles.assign("AcrPull", puller["principalId"], base.id)
    after = finished(cloud, apps, *(by_task(apps, name) for name in ("named", "system", "without")))

    unauthorized = "exchange API response code: 401 Unauthorized"
    assert outcomes(before, [unauthorized]) == [("Failed", True)]
    assert outcomes(after, ["was successful", unauthorized, "the run has no identity"]) == [
        ("Succeeded", True),
        ("Failed", True),
        ("Failed", True),
    ]


def test_a_run_pulls_with_a_password(cloud: LocalCloud, base: Registry, apps: Registry) -> None:
    """The admin user's opens the registry, a wrong one does not, Key Vault's is not there."""
    user, password = opaque("mybase"), opaque(base.admin_password)
    given = {
        "admin": custom(userName=user, password=password),
        "wrong": custom(userName=user, password=opaque("guess")),
        "vault": custom(userName=user, password=opaque("https://v/s", "Vaultsecret")),
        "nowhere": {"customRegistries": {"none.azurecr.io": {"identity": "[system]"}}},
    }
    for name, credentials in given.items():
        create(cloud, apps, name.ljust(5, "x"), credentials=credentials)
    runs = finished(cloud, apps, *(by_task(apps, name.ljust(5, "x")) for name in given))

    refused = "unauthorized: authentication required"
    said = ["was successful", refused, "has no Key Vault", "there is no registry"]
    found = outcomes(runs, said)
    assert found == [("Succeeded", True), ("Failed", True), ("Failed", True), ("Failed", True)]
    assert not any(base.admin_password in line for run in runs for line in run.log)


def test_abac_bases_count_repository_roles_only(
    cloud: LocalCloud, base: Registry, apps: Registry
) -> None:
    """AcrPull is ignored and so is Owner; Container Registry Repository Reader lets pull."""
    base.properties["roleAssignmentMode"] = ABAC
    roles = ("AcrPull", "Owner", READER)
    for number, role in enumerate(roles):
        principal = create(cloud, apps, f"task{number}", credentials=custom(identity="[system]"))
        cloud.roles.assign(role, principal, base.id)
    runs = finished(cloud, apps, *(by_task(apps, f"task{number}") for number in range(3)))

    assert [run.properties["status"] for run in runs] == ["Failed", "Failed", "Succeeded"]


def test_tasks_of_an_abac_registry_have_no_access_of_their_own(
    cloud: LocalCloud, base: Registry, apps: Registry
) -> None:
    """They push with the identity that sourceRegistry names; a quick run may use its caller's."""
    apps.properties["roleAssignmentMode"] = ABAC
    pull = custom(identity="[system]")
    named = {**pull, "sourceRegistry": {"identity": "[system]"}}
    for name, credentials, role in (
        ("unnamed", pull, WRITER),
        ("reader", named, READER),
        ("writer", named, WRITER),
    ):
        principal = create(cloud, apps, name, credentials=credentials)
        cloud.roles.assign("AcrPull", principal, base.id)
        cloud.roles.assign(role, principal, apps.id)
    quick: Json = {
        "type": "DockerBuildRequest",
        "imageNames": ["quick:1"],
        "dockerFilePath": "Dockerfile",
        "sourceLocation": CONTEXT,
        "platform": {"os": "Linux"},
        "credentials": {
            "sourceRegistry": {"identity": "[caller]"},
            **custom(userName=opaque("mybase"), password=opaque(base.admin_password)),
        },
    }
    refused = finished(cloud, apps, quick)
    cloud.roles.assign(WRITER, cloud.developer.object_id, apps.id)
    asked = [*(by_task(apps, name) for name in ("unnamed", "reader", "writer")), quick]
    runs = finished(cloud, apps, *asked)

    said = ["at least one credential is required", "", "was successful", "was successful"]
    assert outcomes(runs, said) == [
        ("Failed", True),
        ("Failed", True),
        ("Succeeded", True),
        ("Succeeded", True),
    ]
    assert outcomes(refused, ["exchange API response code: 401"]) == [("Failed", True)]


def test_a_registrys_own_tasks_may_be_kept_from_it(
    cloud: LocalCloud, base: Registry, apps: Registry
) -> None:
    """With login mode None a run has no credential to push with."""
    credentials = {**custom(identity="[system]"), "sourceRegistry": {"loginMode": "None"}}
    principal = create(cloud, apps, "builder", credentials=credentials)
    cloud.roles.assign("AcrPull", principal, base.id)
    runs = finished(cloud, apps, by_task(apps, "builder"))

    assert outcomes(runs, ["at least one credential is required"]) == [("Failed", True)]


def test_the_endpoint_may_be_out_of_order(still: LocalCloud) -> None:
    """Azure's client says what it was answered, and has its token when that is over."""
    with patience.client(base_url=still.admin_url) as admin:
        assert admin.patch("/switches", json={"identity.status": 404}).status_code == 200
        assert admin.patch("/switches", json={"identity.status": 200}).status_code == 400
        with ManagedIdentityCredential() as credential:
            with pytest.raises(ClientAuthenticationError, match="404, An unexpected error"):
                credential.get_token(f"{ARM}/.default")
            still.identity_behaviour.status = None
            assert credential.get_token(f"{ARM}/.default").token
