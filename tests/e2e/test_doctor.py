"""`rebuilder doctor` on what infra/ deploys: nothing to find, then one mistake at a time."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcloud.arm.resources.sites import settings_of
from localcloud.cloud import LocalCloud
from localcloud.sample import NAMES, cli_environment, path
from localcloud.state import Json, Registry, Resource
from rebuilder.cli import main as cli
from rebuilder.composition import release
from tests.armversions import version_of
from tests.infra.deployed import HOST, Deployed

pytestmark = pytest.mark.usefixtures("az", "recorded")

ARM = "https://management.azure.com"
_STORAGE_ROLES = (
    "Storage Blob Data Reader",
    "Storage Queue Data Reader",
    "Storage Table Data Reader",
)


class Patient:
    """A deployed product, a person who examines it, and their Azure CLI."""

    def __init__(self, cloud: LocalCloud, folder: Path) -> None:
        self.cloud = cloud
        self.deployed = Deployed(cloud, folder)
        self.deployed.publish()
        values = self.deployed.outputs["EVENT_SUBSCRIPTION_PARAMETERS"]
        given = {name: value["value"] for name, value in values.items()}
        self.deployed.deploy("event-subscriptions", given)
        self.account = self.deployed.outputs["STORAGE_ACCOUNT_RESOURCE_ID"]
        for role in _STORAGE_ROLES:
            cloud.roles.assign(role, cloud.developer.object_id, self.account)
        # The container's role assignments go with it, so these are what the template gave.
        self.container = self.deployed.outputs["DEAD_LETTER_CONTAINER_NAME"]
        self.task = self.apps.tasks["app"]
        self._az = {
            **os.environ,
            **cloud.environment(cloud.developer),
            **cli_environment(folder / "azure"),
            "PATH": path(),
        }
        self.mend("az login --identity --output none")

    @property
    def base(self) -> Registry:
        """The base registry."""
        return self.deployed.base

    @property
    def apps(self) -> Registry:
        """The task registry."""
        return self.deployed.apps

    @property
    def site(self) -> Resource:
        """The function app."""
        found = self.cloud.state.resource(self.deployed.site)
        assert found is not None
        return found

    def settings(self) -> dict[str, str]:
        """Return the app's settings, without the identity that is not the person's."""
        found = settings_of(self.cloud.arm, self.site)
        return {name: v for name, v in found.items() if "client" not in name.lower()}

    def mend(self, command: str) -> None:
        """Type a command as the doctor gives it."""
        done = subprocess.run(
            ["bash", "-c", command],
            env=self._az,
            cwd=Path(__file__).parent.parent.parent,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    def arm(self, method: str, place: str, body: Json | None = None) -> Json:
        """Ask ARM as the developer."""
        token = self.cloud.tokens.issue(self.cloud.developer, f"{ARM}/")
        url = f"{ARM}{place}?api-version={version_of(place)}"
        with self.cloud.network.client() as http:
            answer = http.request(
                method, url, json=body, headers={"Authorization": f"Bearer {token}"}
            )
        answer.raise_for_status()
        found: Json = answer.json() if answer.content else {}
        return found

    def revoke(self, role: str, principal: str, scope: str = "") -> None:
        """Take a role away; an exact one."""
        wanted = self.cloud.roles.role(role)
        assert wanted is not None
        (found,) = [
            a
            for a in self.cloud.roles.assignments()
            if (a.role, a.principal_id) == (wanted.id, principal)
            and (not scope or a.scope.lower() == scope.lower())
        ]
        self.cloud.roles.revoke(found.id)

    @property
    def subscription(self) -> Json:
        """The event subscription of the base registry, as ARM shows it."""
        (topic,) = self.deployed.outputs["PUSH_TOPICS"]
        place = f"/subscriptions/{topic['subscriptionId']}/resourceGroups/"
        place += f"{topic['resourceGroupName']}/providers/Microsoft.EventGrid/systemTopics/"
        found = self.arm("GET", f"{place}{topic['name']}/eventSubscriptions")["value"]
        (one,) = found
        return dict(one)


@pytest.fixture(scope="module", name="patient")
def _patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    folder = tmp_path_factory.mktemp("doctor")
    context = folder / "context"
    context.mkdir()
    with (
        LocalCloud(folder / "cloud", builder="embedded") as cloud,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in cloud.environment(cloud.developer).items():
            patch.setenv(name, value)
        patient = Patient(cloud, context)
        patient.deployed.push("second")
        patient.deployed.await_rebuild()
        # The task was made before the app was subscribed: without this no event has told of any.
        for name in patient.apps.tasks:
            kind = "Microsoft.ContainerRegistry/registries/tasks"
            cloud.eventgrid.publish_change(f"{patient.apps.id}/tasks/{name}", kind)
        patient.deployed.await_log("events tell of its tasks")
        for name, value in patient.settings().items():
            patch.setenv(name, value)
        yield patient
        release()


type Examine = Callable[[], list[dict[str, Any]]]


@pytest.fixture(name="examine")
def _examine(patient: Patient, capsys: pytest.CaptureFixture[str]) -> Examine:
    def look() -> list[dict[str, Any]]:
        code = cli.main(["doctor", "--json", "--function-app", patient.deployed.site])
        told = capsys.readouterr()
        assert told.out, told.err
        report = json.loads(told.out)
        findings: list[dict[str, Any]] = report["findings"]
        assert report["unchecked"] == []
        assert code == int(any(f["severity"] == "error" for f in findings)), findings
        return findings

    return look


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake.

    Attributes:
        code: What the doctor calls it.
        names: What the finding must name.
        plant: Makes it.
        undo: What the command alone does not bring back, or all of it if there is no command.
        mended: Whether the local cloud can carry out the command.
    """

    code: str
    names: str
    plant: Callable[[Patient], None]
    undo: Callable[[Patient], None] = lambda _: None
    mended: bool = True


def _custom(registry: str) -> Callable[[Patient], None]:
    def plant(patient: Patient) -> None:
        target: Registry = getattr(patient, registry)
        patient.cloud.roles.revoke(patient.deployed.custom(target).id)

    return plant


def _to_abac(patient: Patient) -> None:
    # The task gets the role that counts now; the app is forgotten.
    patient.base.properties["roleAssignmentMode"] = "AbacRepositoryPermissions"
    role = "Container Registry Repository Reader"
    patient.cloud.roles.assign(role, patient.deployed.task_principal, patient.base.id)


def _from_abac(patient: Patient) -> None:
    patient.base.properties["roleAssignmentMode"] = "LegacyRegistryPermissions"


def _unsubscribe(patient: Patient) -> None:
    patient.arm("DELETE", patient.subscription["id"])


def _filter(**changes: object) -> Callable[[Patient], None]:
    def plant(patient: Patient) -> None:
        found = patient.subscription
        properties = found["properties"]
        properties["filter"] |= changes
        patient.arm("PUT", found["id"], {"properties": properties})

    return plant


def _change(**changes: object) -> Callable[[Patient], None]:
    def plant(patient: Patient) -> None:
        found = patient.subscription
        properties = {**found["properties"], **changes}
        patient.arm("PUT", found["id"], {"properties": properties})

    return plant


def _forget_function(patient: Patient) -> None:
    bindings = patient.cloud.apps.functions(patient.deployed.site)
    patient.site.properties["kept"] = bindings.pop("image_pushed")


def _remember_function(patient: Patient) -> None:
    bindings = patient.cloud.apps.functions(patient.deployed.site)
    bindings["image_pushed"] = patient.site.properties.pop("kept")


def _state(state: str) -> Callable[[Patient], None]:
    def plant(patient: Patient) -> None:
        patient.site.properties["state"] = state

    return plant


def _close(patient: Patient) -> None:
    patient.apps.properties["publicNetworkAccess"] = "Disabled"
    patient.apps.properties["networkRuleBypassAllowedForTasks"] = False


def _open(patient: Patient) -> None:
    patient.apps.properties["publicNetworkAccess"] = "Enabled"


def _close_base(patient: Patient) -> None:
    patient.base.properties["networkRuleSet"] = {"defaultAction": "Deny", "ipRules": []}
    patient.base.properties["networkRuleBypassAllowedForTasks"] = True


def _open_base(patient: Patient) -> None:
    del patient.base.properties["networkRuleSet"]


def _trigger(patient: Patient) -> None:
    patient.task.properties["trigger"] = {
        "baseImageTrigger": {
            "name": "defaultBaseimageTriggerName",
            "baseImageTriggerType": "Runtime",
            "status": "Enabled",
        }
    }


def _no_credentials(patient: Patient) -> None:
    patient.task.properties["credentials"] = None


def _no_container(patient: Patient) -> None:
    place = f"{patient.account}/blobServices/default/containers/{patient.container}"
    held = [a for a in patient.cloud.roles.assignments() if a.scope.lower() == place.lower()]
    patient.arm("DELETE", place)
    # Azure keeps assignments of what is gone; the new container is another one to nobody.
    for assignment in held:
        patient.cloud.roles.put(assignment)


def _topic_role(patient: Patient) -> None:
    place = f"{patient.account}/blobServices/default/containers/{patient.container}"
    (topic,) = patient.deployed.outputs["PUSH_TOPICS"]
    found = next(
        t
        for t in patient.cloud.state.resources("Microsoft.EventGrid/systemTopics")
        if t.name == topic["name"]
    )
    principal = found.more["identity"]["principalId"]
    patient.revoke("Storage Blob Data Contributor", principal, place)


def _role(role: str) -> Callable[[Patient], None]:
    def plant(patient: Patient) -> None:
        patient.revoke(role, patient.deployed.principal_id)

    return plant


MISTAKES = {
    "the role on the base registry": Mistake("role-missing", NAMES["BASE_ACR"], _custom("base")),
    "the role on the task registry": Mistake("role-missing", NAMES["ACR_NAME"], _custom("apps")),
    "the app may not pull": Mistake("pull-missing", "'AcrPull'", _role("AcrPull")),
    "AcrPull where repositories count": Mistake(
        "pull-missing", "'Container Registry Repository Reader'", _to_abac, _from_abac
    ),
    "a role on tables": Mistake(
        "storage-role-missing",
        "'Storage Table Data Contributor'",
        _role("Storage Table Data Contributor"),
    ),
    "no subscription": Mistake("not-subscribed", NAMES["BASE_ACR"], _unsubscribe),
    "deletions only": Mistake(
        "pushes-filtered",
        "Microsoft.ContainerRegistry.ImageDeleted",
        _filter(includedEventTypes=["Microsoft.ContainerRegistry.ImageDeleted"]),
    ),
    "one repository only": Mistake(
        "pushes-narrowed", "'images/go:'", _filter(subjectBeginsWith="images/go:")
    ),
    "one attempt only": Mistake(
        "few-attempts",
        "1 time(s)",
        _change(retryPolicy={"maxDeliveryAttempts": 1, "eventTimeToLiveInMinutes": 1440}),
    ),
    "dead letters are lost": Mistake(
        "no-dead-letters", NAMES["BASE_ACR"], _change(deadLetterWithResourceIdentity=None)
    ),
    "no container of dead letters": Mistake(
        "dead-letter-container-missing", "no container", _no_container
    ),
    "dead letters cannot be written": Mistake(
        "dead-letters-not-writable", "may not write", _topic_role
    ),
    "no function": Mistake(
        "functions-missing", "image_pushed", _forget_function, _remember_function, mended=False
    ),
    "the app is stopped": Mistake(
        "app-stopped", "Stopped", _state("Stopped"), _state("Running"), mended=False
    ),
    "the task's identity may not pull": Mistake(
        "task-may-not-pull",
        f"{NAMES['ACR_NAME']}/app",
        lambda p: p.revoke("AcrPull", p.deployed.task_principal),
    ),
    "a task without credentials": Mistake("task-without-credentials", HOST, _no_credentials),
    "the native trigger": Mistake("native-trigger-on", f"{NAMES['ACR_NAME']}/app", _trigger),
    "tasks before a closed registry": Mistake("tasks-shut-out", NAMES["ACR_NAME"], _close, _open),
    "the app before a closed registry": Mistake(
        "app-shut-out", NAMES["BASE_ACR"], _close_base, _open_base, mended=False
    ),
}


@pytest.mark.timeout(1800)
def test_nothing_is_found_on_a_good_set_up(patient: Patient, examine: Examine) -> None:
    """What the templates deploy has no mistake, and everything could be looked at."""
    assert patient.deployed.principal_id
    assert examine() == []


@pytest.fixture(name="app")
def _app(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what names the app to a command in a shell that knows nothing of its settings."""
    release()
    for name in patient.settings():
        monkeypatch.delenv(name, raising=False)
    return ["--function-app", patient.deployed.site]


@pytest.mark.timeout(1800)
def test_the_apps_own_settings_are_enough(
    app: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell that knows nothing of the app asks ARM for them, and goes on as the person."""
    assert cli.main([*app, "doctor"]) == 0
    assert capsys.readouterr().out == "Nothing wrong was found.\n"
    assert cli.main([*app, "runs", "--json"]) == 0
    assert any(run["rebuild"] for run in json.loads(capsys.readouterr().out))
    assert cli.main(["runs"]) == 1
    assert "REBUILDER_BASE_REGISTRIES is missing" in capsys.readouterr().err


@pytest.mark.timeout(1800)
def test_what_is_deployed_sees_a_probe(
    patient: Patient, app: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its events, its roles and its settings alone; the doctor has nothing against the sample."""
    probe = [*app, "probe", "--sample", patient.apps.name]
    before = {a.id for a in patient.cloud.roles.assignments()}
    told = []
    for _ in range(2):
        code = cli.main(probe)
        told.append(capsys.readouterr().out)
        assert code == 0, told[-1]
        assert "was rebuilt by run " in told[-1]
    assert ["made the task" in text for text in told] == [True, False]
    assert cli.main([*app, "doctor"]) == 0
    assert capsys.readouterr().out == "Nothing wrong was found.\n"

    assert cli.main([*probe, "--remove"]) == 0
    assert "acr-rebuilder-sample" not in patient.apps.tasks
    assert {a.id for a in patient.cloud.roles.assignments()} == before


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_found_and_mended(
    patient: Patient, examine: Examine, name: str
) -> None:
    """Exactly it is found, and after its own command, typed as it stands, nothing is."""
    mistake = MISTAKES[name]
    mistake.plant(patient)
    try:
        found = examine()
        assert [finding["code"] for finding in found] == [mistake.code], found
        assert mistake.names in found[0]["what"]
        assert found[0]["commands"]
        if mistake.mended:
            for command in found[0]["commands"]:
                patient.mend(command)
            assert mistake.code not in {finding["code"] for finding in examine()}
    finally:
        mistake.undo(patient)
    assert examine() == []
