"""tools/remove.py on the local cloud: nothing is left behind, and nothing of others goes."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from localcloud.state import Json
from tests.infra.templates import ROOT, read, resources
from tests.infra.test_deployments import APPS, BASE, GROUP, OTHER, SUBSCRIPTION, Deployer, values

_AZ = """#!{python}
import json, sys
if sys.argv[1] == "cloud":
    print(json.dumps({{"endpoints": {{"resourceManager": "https://management.azure.com/"}}}}))
else:
    print(json.dumps({{"accessToken": {token!r}, "subscription": {subscription!r}}}))
"""


class Remover:
    """A cloud with environments, and the script that removes them."""

    def __init__(self, cloud: LocalCloud, folder: Path) -> None:
        self.deployer = Deployer(cloud)
        self.cloud = cloud
        self._folder = folder

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the script as the developer."""
        az = self._folder / "az"
        token = self.cloud.tokens.issue(self.cloud.developer, "https://management.azure.com/")
        text = _AZ.format(python=sys.executable, token=token, subscription=SUBSCRIPTION)
        az.write_text(text)
        az.chmod(0o755)
        return subprocess.run(
            [sys.executable, str(ROOT / "tools" / "remove.py"), *arguments],
            env={
                **os.environ,
                **self.cloud.environment(self.cloud.developer),
                "PATH": f"{self._folder}:{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def listed(self) -> set[str]:
        """Return everything: resources, groups, assignments, definitions, subscriptions."""
        state = self.cloud.state
        kept = {resource.id for resource in state.under("/subscriptions")}
        kept |= {registry.id for registry in state.registries()}
        kept |= {f"{r.id}/tasks/{name}" for r in state.registries() for name in r.tasks}
        kept |= {str(found["id"]) for found in self.cloud.arm.plain.values()}
        kept |= {f"assignment {a.id}" for a in self.cloud.roles.assignments()}
        kept |= {f"role {r.name}" for r in self.cloud.roles.roles() if not r.built_in}
        for registry in state.registries():
            names = (s.name for s in self.cloud.eventgrid.subscriptions(registry))
            kept |= {f"events {registry.name} {name}" for name in names}
        return kept


@pytest.fixture(name="remover")
def _remover(cloud: LocalCloud, tmp_path: Path) -> Remover:
    return Remover(cloud, tmp_path)


def _form(environment: str, **more: object) -> Json:
    return values(environment, eventDelivery="queue", **more)


def test_nothing_is_left_behind(remover: Remover) -> None:
    """Locks, network, alerts, a topic in another subscription, a sample task: all of it goes."""
    deployer = remover.deployer
    deployer.registry("otherbase", OTHER)
    before = remover.listed()
    given = _form(
        "one",
        privateNetwork=True,
        lock={"kind": "CanNotDelete"},
        alertEmails=["a@example.com"],
        diagnosticSettings=[{"workspaceResourceId": "/x"}],
        sampleTask={"registryName": APPS, "baseRegistryName": BASE},
        dashboard={"clientId": OTHER},
        budget={"amount": 50, "startDate": "2026-12-01"},
    )
    given["registries"].append(
        {"name": "otherbase", "use": "base", "resourceGroupName": GROUP, "subscriptionId": OTHER}
    )
    deployer.subscribe(deployer.deploy(given))
    after = remover.listed()
    assert len(after - before) > 60

    dry = remover.run("--environment", "one")

    assert dry.returncode == 0, dry.stderr
    assert "would go: lock of " in dry.stdout
    assert "would go: budget: " in dry.stdout
    assert "would go: --yes deletes it." in dry.stdout
    assert remover.listed() == after

    done = remover.run("--environment", "one", "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    assert remover.listed() == before
    assert done.stdout.count("deleting: ") == dry.stdout.count("would go: ") - 1
    again = remover.run("--environment", "one", "--yes")
    assert again.returncode == 1
    assert "no resource group of subscription" in again.stderr


def test_what_others_use_stays(remover: Remover) -> None:
    """A topic with a second environment on it, images in a new registry, what else is there."""
    deployer = remover.deployer
    given = _form("one")
    given["registries"].append({"name": "newregistry", "use": "base", "create": True})
    first = deployer.deploy(given)
    deployer.subscribe(first)
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-one"
    theirs = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/theirs"
    deployer.ask("PUT", theirs, {"location": "westeurope"}, "2024-11-30")
    second = _form("two")
    for registry, key, name in (
        (second["registries"][0], "topicName", first["PUSH_TOPICS"][0]["name"]),
        (second["registries"][1], "groupTopicName", first["TASK_TOPICS"][0]["name"]),
    ):
        registry[key] = name
    deployer.subscribe(deployer.deploy(second))

    done = remover.run("--environment", "one", "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    topics = {t.name for t in remover.cloud.state.resources("Microsoft.EventGrid/systemTopics")}
    assert topics == {first["PUSH_TOPICS"][0]["name"], first["TASK_TOPICS"][0]["name"]}
    assert done.stdout.count("somebody else is subscribed to it") == 2
    assert "newregistry: it holds images; --registries deletes it" in done.stdout
    assert "rg-one: it holds newregistry, theirs" in done.stdout
    assert len(remover.cloud.eventgrid.subscriptions(deployer.base)) == 1
    assert deployer.changes(second) == {}
    assert deployer.ask("GET", theirs, version="2024-11-30")["name"] == "theirs"


def test_the_last_of_two_environments_takes_the_topics_along(remover: Remover) -> None:
    """Those of the first, which had to stay while the second was subscribed to them."""
    deployer = remover.deployer
    before = remover.listed()
    first = deployer.deploy(_form("one", lock={"kind": "CanNotDelete"}))
    deployer.subscribe(first)
    second = _form("two")
    second["registries"][0]["topicName"] = first["PUSH_TOPICS"][0]["name"]
    second["registries"][1]["groupTopicName"] = first["TASK_TOPICS"][0]["name"]
    deployer.subscribe(deployer.deploy(second))

    for environment, gone in (("one", 0), ("two", 2)):
        done = remover.run("--environment", environment, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("deleting: topic of an environment that is gone: ") == gone

    assert remover.listed() == before


def test_what_was_there_before_stays_without_its_roles(remover: Remover) -> None:
    """An identity, a vault, a workspace; a role that somebody else gave stays, too."""
    deployer, cloud = remover.deployer, remover.cloud
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers"
    identity = f"{group}/Microsoft.ManagedIdentity/userAssignedIdentities/ours"
    made = deployer.ask("PUT", identity, {"location": "westeurope"}, "2024-11-30")
    principal = made["properties"]["principalId"]
    vault, other = (f"{group}/Microsoft.KeyVault/vaults/{name}" for name in ("ours", "theirs"))
    for place in (vault, other):
        cloud.vaults.keep(place, "git", "{}")
    cloud.roles.assign("Key Vault Secrets User", principal, other)
    cloud.roles.assign("AcrPull", principal, deployer.registry("unrelated").id)
    before = remover.listed()
    existing = {"identityResourceId": identity, "keyVaultResourceId": vault}
    deployer.subscribe(deployer.deploy(_form("one", existing=existing, readOutputImages=True)))
    assert [a for a in cloud.roles.assignments() if a.scope == vault] != []

    done = remover.run("--environment", "one", "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    assert remover.listed() == before


def test_what_a_registry_keeps_that_was_taken_out(remover: Remover) -> None:
    """Its roles, its topic and its alerts; nothing of the registries that are named."""
    deployer = remover.deployer
    deployer.registry("droppedbase")
    given = _form("one")
    deployer.subscribe(deployer.deploy(given))
    named = remover.listed()
    more = _form("one")
    more["registries"].append({"name": "droppedbase", "use": "base", "resourceGroupName": GROUP})
    deployer.subscribe(deployer.deploy(more))
    assert len(remover.listed() - named) > 5
    deployer.deploy(given)

    dry = remover.run("--environment", "one", "--dropped")
    assert "role on droppedbase" in dry.stdout
    done = remover.run("--environment", "one", "--dropped", "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    # What is recorded of deployments is no resource, and costs nothing.
    left = {place for place in remover.listed() - named if "/deployments/" not in place}
    assert left == set()
    assert deployer.changes(given) == {}


def test_every_type_of_the_templates_can_be_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the API version that it is made with; what is below another goes with that."""
    monkeypatch.syspath_prepend(ROOT / "tools")  # as it is for a script that is run
    remove = importlib.import_module("remove")
    made: dict[str, str] = {}
    for found in resources(read("main.json")):
        kind = str(found["type"]).lower()
        if len(kind.split("/")) == 2 and not found.get("existing"):
            made[kind] = found["apiVersion"]
    made.pop("microsoft.resources/deployments")
    made.pop("microsoft.resources/resourcegroups", None)

    assert {kind: remove.VERSIONS.get(kind) for kind in made} == made
    assert set(remove.VERSIONS) == set(remove.ORDER)
