"""The local ARM, by Azure's SDKs and, for the edges, by plain HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from azure.core.exceptions import ResourceExistsError
from azure.identity import ManagedIdentityCredential
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient

from localcloud.cloud import LocalCloud
from localcloud.eventgrid import SystemTopic
from localcloud.state import Registry, Run
from tests import images
from tests.armversions import name_version
from tests.patience import SECONDS
from tests.webhook import Webhook

ARM = "https://management.azure.com"


@pytest.fixture(name="apps")
def _apps(cloud: LocalCloud) -> Registry:
    return images.registry(cloud, "myapps")


@pytest.fixture(name="tasks")
def _tasks(cloud: LocalCloud, apps: Registry) -> Iterator[ContainerRegistryTasksMgmtClient]:
    del cloud  # its environment is what the credential looks for
    with (
        ManagedIdentityCredential() as identity,
        ContainerRegistryTasksMgmtClient(identity, apps.subscription_id) as client,
    ):
        yield client


@pytest.fixture(name="http")
def _http(cloud: LocalCloud) -> Iterator[httpx.Client]:
    token = cloud.tokens.issue(cloud.developer, ARM)
    headers = {"Authorization": f"Bearer {token}"}
    hooks = {"request": [name_version]}
    with cloud.network.client(base_url=ARM, headers=headers, event_hooks=hooks) as client:
        yield client


def test_registries_are_created_and_listed(cloud: LocalCloud) -> None:
    """Azure's SDK creates registries in two regions and finds them again."""
    subscription = images.SUBSCRIPTIONS[0]
    cloud.create_group(subscription, "Group", "westeurope")
    cloud.create_group(subscription, "other", "westeurope")
    with (
        ManagedIdentityCredential() as identity,
        ContainerRegistryManagementClient(identity, subscription) as client,
    ):
        for name, location in (("first", "westeurope"), ("second", "eastus")):
            properties = {"adminUserEnabled": name == "first"}
            sku = {"name": "Premium"}
            body: Any = {"location": location, "sku": sku, "properties": properties}
            made = client.registries.begin_create("Group", name, body).result()
            assert made.properties is not None
            assert made.properties.login_server == f"{name}.azurecr.io"
        again: Any = {**body, "location": "westeurope", "properties": {"adminUserEnabled": True}}
        client.registries.begin_create("GROUP", "FIRST", again).result()
        listed = [str(r.name) for r in client.registries.list()]
        grouped = [str(r.name) for r in client.registries.list_by_resource_group("group")]
        credentials = client.registries.list_credentials("group", "first")
        with pytest.raises(ResourceExistsError):
            client.registries.begin_create("other", "first", again).result()

    assert listed == grouped == ["first", "second"]
    registry = cloud.state.registries()[0]
    assert credentials.passwords is not None
    assert credentials.passwords[0].value == registry.admin_password


def definition(**step: object) -> Any:  # noqa: ANN401 - the SDK's models are dictionaries, too
    """Return a task in ARM's wire form."""
    return {
        "location": "westeurope",
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "platform": {"os": "Linux", "architecture": "amd64"},
            "step": {
                "type": "Docker",
                "contextPath": "https://github.com/contoso/app.git",
                "contextAccessToken": "a secret",
                "dockerFilePath": "Dockerfile",
                "imageNames": ["app:{{.Run.ID}}"],
                "arguments": [{"name": "PASSWORD", "value": "another", "isSecret": True}],
                **step,
            },
            "credentials": {
                "customRegistries": {"b.azurecr.io": {"userName": {"value": "u", "type": "Opaque"}}}
            },
        },
    }


def test_a_tasks_secrets_stay_inside(
    apps: Registry, tasks: ContainerRegistryTasksMgmtClient
) -> None:
    """GET shows no secret; listDetails does."""
    tasks.tasks.create(apps.resource_group, apps.name, "builder", definition())
    shown = tasks.tasks.get(apps.resource_group, apps.name, "BUILDER").as_dict()
    details = tasks.tasks.get_details(apps.resource_group, apps.name, "builder").as_dict()

    assert "secret" not in str(shown)
    assert "another" not in str(shown)
    assert shown["properties"]["credentials"]["customRegistries"] == {"b.azurecr.io": None}
    assert details["properties"]["step"]["contextAccessToken"] == "a secret"
    assert shown["identity"]["principalId"]


def test_a_task_may_leave_its_secret_arguments_out(
    apps: Registry, cloud: LocalCloud, tasks: ContainerRegistryTasksMgmtClient
) -> None:
    """GET and the list do not name them, then; listDetails does."""
    cloud.arm.behaviour.shows_secret_arguments = False
    group, name = apps.resource_group, apps.name
    tasks.tasks.create(group, name, "builder", definition())
    shown = [tasks.tasks.get(group, name, "builder"), *tasks.tasks.list(group, name)]
    details = tasks.tasks.get_details(group, name, "builder").as_dict()

    assert [task.as_dict()["properties"]["step"].get("arguments") for task in shown] == [[], []]
    assert [a["name"] for a in details["properties"]["step"]["arguments"]] == ["PASSWORD"]


def test_updating_keeps_what_putting_loses(
    apps: Registry, cloud: LocalCloud, tasks: ContainerRegistryTasksMgmtClient
) -> None:
    """PATCH keeps dependencies and credentials; PUT loses the first unless told not to."""
    group, name = apps.resource_group, apps.name
    first = tasks.tasks.create(group, name, "builder", definition())
    recorded = [images.dependency("b.azurecr.io/i:1")]
    apps.tasks["builder"].properties["step"]["baseImageDependencies"] = recorded
    change: Any = {
        "properties": {
            "status": "Disabled",
            "step": {"type": "Docker", "dockerFilePath": "Other"},
            "credentials": {"customRegistries": {"c.azurecr.io": {"identity": "[system]"}}},
        }
    }
    tasks.tasks.update(group, name, "builder", change)
    patched = apps.tasks["builder"].properties
    assert patched["step"]["baseImageDependencies"] == recorded
    assert patched["step"]["dockerFilePath"] == "Other"
    assert set(patched["credentials"]["customRegistries"]) == {"b.azurecr.io", "c.azurecr.io"}
    cloud.arm.behaviour.put_keeps_dependencies = True
    tasks.tasks.create(group, name, "builder", definition())
    assert apps.tasks["builder"].properties["step"]["baseImageDependencies"] == recorded
    cloud.arm.behaviour.put_keeps_dependencies = False
    again = tasks.tasks.create(group, name, "builder", definition())
    assert apps.tasks["builder"].properties["step"]["baseImageDependencies"] is None
    assert first.identity is not None
    assert again.identity is not None
    assert again.identity.principal_id == first.identity.principal_id
    tasks.tasks.delete(group, name, "builder")
    assert apps.tasks == {}


@pytest.mark.parametrize("group", [False, True])
def test_a_changed_task_is_told_of(
    apps: Registry,
    cloud: LocalCloud,
    tasks: ContainerRegistryTasksMgmtClient,
    webhook: Webhook,
    *,
    group: bool,
) -> None:
    """PUT, PATCH and DELETE are events of the subscription and of the group, for who listens."""
    name, task = apps.resource_group, f"{apps.id}/tasks/Builder"
    topic = f"/subscriptions/{apps.subscription_id}" + (f"/resourceGroups/{name}" if group else "")
    cloud.eventgrid.subscribe(SystemTopic(topic), "changes", webhook.url)
    cloud.eventgrid.behaviour.lose = 1
    tasks.tasks.create(name, apps.name, "Builder", definition())
    tasks.tasks.create(name, apps.name, "Builder", definition())
    change: Any = {"tags": {"a": "b"}}
    tasks.tasks.update(name, apps.name, "builder", change)
    tasks.tasks.delete(name, apps.name, "builder")
    tasks.tasks.delete(name, apps.name, "builder")
    assert cloud.wait_idle(SECONDS)

    events = [event for call in webhook.calls for event in call.body]
    told = task.replace("/resourceGroups/", "/resourcegroups/")
    assert {event["dataVersion"] for event in events} == {"2"}
    assert sorted(event["eventType"].rpartition(".")[2] for event in events) == [
        "ResourceDeleteSuccess",
        "ResourceWriteSuccess",
        "ResourceWriteSuccess",
    ]
    assert {(e["topic"], e["subject"], e["data"]["resourceUri"]) for e in events} == {
        (topic, told, told)
    }


def add_runs(apps: Registry) -> None:
    """Put runs into a registry, as if they had ended."""
    for number in range(1, 8):
        properties = {
            "runId": f"ca{number}",
            "runType": "QuickRun",
            "status": "Succeeded" if number % 2 else "Failed",
            "task": "Build-A" if number < 5 else "build-b",
            "createTime": f"2026-01-0{number}T00:00:00.0000000Z",
            "isArchiveEnabled": number == 3,
            "outputImages": [{"repository": "app", "digest": f"sha256:{number}"}],
        }
        apps.runs[f"ca{number}"] = Run(f"ca{number}", properties)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, "7654321"),
        ("TaskName eq 'build-a'", "4321"),
        ("taskname eq 'Build-A' and Status eq 'Failed'", "42"),
        ("Status eq 'Failed' or RunId eq 'ca7'", "7642"),
        ("(RunId eq 'ca1' or RunId eq 'ca2') and Status ne 'Failed'", "1"),
        ("contains(OutputImageManifests, 'app@sha256:5')", "5"),
        ("CreateTime ge 2026-01-06T00:00:00Z", "76"),
        ("createTime lt 2026-01-02T00:00:00Z", "1"),
        ("isArchiveEnabled eq true", "3"),
        ("RunId eq 'it''s'", ""),
    ],
)
def test_runs_are_filtered(
    apps: Registry, tasks: ContainerRegistryTasksMgmtClient, wanted: str | None, found: str
) -> None:
    """ARM's filters, newest first."""
    add_runs(apps)
    runs = tasks.runs.list(apps.resource_group, apps.name, filter=wanted)

    assert "".join(str(run.name)[-1] for run in runs) == found


@pytest.mark.parametrize(
    "wanted",
    [
        "Name eq 'x'",
        "Status is 'x'",
        "Status eq",
        "not Status eq 'x'",
        "(Status eq 'x'",
        "a b c d",
        "contains(Status)",
        "contains Status",
        "Status eq 'x' 'y'",
        "contains(Status, 'x'",
        "'",
    ],
)
def test_other_filters_are_refused(apps: Registry, http: httpx.Client, wanted: str) -> None:
    """What ARM does not understand is an error, not an empty list."""
    answer = http.get(f"{apps.id}/runs", params={"$filter": wanted})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidFilter")


def test_runs_are_cancelled_and_archived(
    apps: Registry, tasks: ContainerRegistryTasksMgmtClient, http: httpx.Client
) -> None:
    """A run that goes on can be cancelled, one that is over cannot; archiving is a PATCH."""
    add_runs(apps)
    apps.runs["ca1"].properties["status"] = "Queued"
    tasks.runs.cancel(apps.resource_group, apps.name, "ca1")
    kept: Any = {"isArchiveEnabled": True}
    tasks.runs.update(apps.resource_group, apps.name, "ca2", kept)

    assert apps.runs["ca1"].properties["status"] == "Canceled"
    assert apps.runs["ca2"].properties["isArchiveEnabled"] is True
    assert http.post(f"{apps.id}/runs/ca2/cancel").status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/tasks/none", None, 404, "ResourceNotFound"),
        ("GET", "/runs/none", None, 404, "ResourceNotFound"),
        ("GET", "x/tasks", None, 404, "ResourceNotFound"),
        ("GET", "/nothing", None, 404, "InvalidResourceType"),
        ("PUT", "/tasks/a", {"location": "westeurope"}, 400, "InvalidTaskName"),
        (
            "PUT",
            "/tasks/builder",
            {"location": "westeurope", "properties": {"step": {"type": "Docker"}}},
            400,
            "InvalidRequestContent",
        ),
        ("POST", "/scheduleRun", {"type": "Other"}, 400, "InvalidRequestContent"),
        ("POST", "/scheduleRun", {"type": "DockerBuildRequest"}, 400, "InvalidRequestContent"),
        (
            "POST",
            "/scheduleRun",
            {"type": "TaskRunRequest", "taskId": "x"},
            404,
            "ResourceNotFound",
        ),
        ("POST", "/scheduleRun", [], 400, "InvalidRequestContent"),
    ],
)
def test_errors_are_arms(
    apps: Registry, http: httpx.Client, method: str, path: str, body: object, status: int, code: str
) -> None:
    """Each wrong request has ARM's status and code."""
    answer = http.request(method, apps.id + path, json=body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-ms-request-id"]


@pytest.mark.parametrize("path", ["/runs", "/tasks"])
def test_page_tokens_are_checked(apps: Registry, http: httpx.Client, path: str) -> None:
    """A page token that no page has given is refused."""
    answer = http.get(apps.id + path, params={"$skiptoken": "x"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidQueryParameter")


def test_a_disabled_task_is_not_run(apps: Registry, http: httpx.Client) -> None:
    """ARM refuses to run what is disabled."""
    images.task(apps, "disabled", None, status="Disabled")
    body = {"type": "TaskRunRequest", "taskId": f"{apps.id}/tasks/disabled"}
    answer = http.post(f"{apps.id}/scheduleRun", json=body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "TaskDisabled")


def test_requests_need_a_token_and_a_version(cloud: LocalCloud, apps: Registry) -> None:
    """No token, a token for others, no version and a wrong one are told apart."""
    elsewhere = cloud.tokens.issue(cloud.developer, "https://vault.azure.net")
    good = cloud.tokens.issue(cloud.developer, f"{ARM}/")

    def ask(token: str, version: str) -> str:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        params = {"api-version": version} if version else {}
        with cloud.network.client() as http:
            answer = http.get(f"{ARM}{apps.id}/tasks", headers=headers, params=params)
        error = answer.json().get("error", {})
        return f"{answer.status_code} {error.get('code')}"

    preview = "2025-03-01-preview"
    assert ask("", preview) == "401 AuthenticationFailed"
    assert ask("nonsense", preview) == "401 InvalidAuthenticationToken"
    assert ask(elsewhere, preview) == "401 InvalidAuthenticationTokenAudience"
    assert ask(good, "") == "400 MissingApiVersionParameter"
    assert ask(good, "1999-01-01") == "400 InvalidApiVersionParameter"
    assert ask(good, preview) == "200 None"


def test_subscriptions_and_groups(apps: Registry, http: httpx.Client) -> None:
    """What `az login` and `az group create` ask."""
    listed = http.get("/subscriptions").json()["value"]
    group = f"/subscriptions/{apps.subscription_id}/resourceGroups/new"
    made = [http.put(group, json={"location": "westeurope"}).status_code for _ in range(2)]

    assert [s["subscriptionId"] for s in listed] == [apps.subscription_id]
    assert made == [201, 200]


@pytest.mark.parametrize("depth", [3, 5, 9])
def test_events_are_subscribed_to_at_every_scope(
    apps: Registry, http: httpx.Client, webhook: Webhook, depth: int
) -> None:
    """A subscription, a group and a registry have event subscriptions of their own."""
    scope = "/".join(apps.id.split("/")[:depth])
    url = f"{scope}/providers/Microsoft.EventGrid/eventSubscriptions"
    destination = {"endpointType": "WebHook", "properties": {"endpointUrl": webhook.url}}
    made = http.put(f"{url}/changes", json={"properties": {"destination": destination}})
    assert made.status_code == 201
    assert made.json()["properties"]["topic"] == scope
    assert "s3cret" not in made.text
    wire = made.json()
    assert wire["properties"].pop("provisioningState") == "Creating"
    wire["properties"]["provisioningState"] = "Succeeded"
    assert http.get(made.headers["azure-asyncoperation"]).json()["status"] == "Succeeded"
    assert http.get(f"{url}/Changes").json() == wire
    assert http.get(url).json()["value"] == [wire]
    assert http.delete(f"{url}/changes").status_code == 200

    assert http.delete(f"{url}/changes").status_code == 204
    assert http.get(f"{url}/changes").status_code == 404
    assert http.get(url).json()["value"] == []
