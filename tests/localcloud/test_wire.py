"""ARM's answers, as Microsoft's documents and recorded answers have them; and its refusals."""

from __future__ import annotations

from functools import partial
from typing import Any

import httpx
import pytest

from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry
from tests import images
from tests.patience import SECONDS
from tests.webhook import Webhook

BASE = {"name": "base", "baseImageTriggerType": "All"}
STEP = {"type": "Docker", "contextPath": "https://github.com/a/b.git", "dockerFilePath": "D"}
SITE_PLAN = "Microsoft.Web/serverfarms/plan"


def task(step: Json | None = None, **properties: object) -> Json:
    """Return a task's body."""
    return {
        "location": "westeurope",
        "properties": {"platform": {"os": "linux"}, "step": step or STEP, **properties},
    }


def changed(body: Json, path: str, value: object) -> Json:
    """Return a body with one member set, at a path of names and numbers."""
    *way, last = path.split(".")
    copied: Json = {**body}
    inner: Any = copied
    for name in way:
        inner[name] = {**inner[name]}
        inner = inner[name]
    inner[last] = value
    return copied


def refused(answer: httpx.Response) -> str:
    """Return the sentence of a request that is refused for its body."""
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["code"] == "InvalidRequestContent"
    said: str = error["message"]
    assert said.startswith("The request content was invalid and could not be deserialized: '")
    return said


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("properties.step.dockerfilePath", "D", "Could not find member 'dockerfilePath' on object"),
        ("properties.step.type", "Nonsense", 'converting value "Nonsense"'),
        ("properties.step.dockerFilePath", None, "Required property 'dockerFilePath' not found"),
        ("properties.step", {"type": "FileTask"}, "Required property 'taskFilePath' not found"),
        ("properties.step", {"contextPath": "x"}, "Required property 'type' not found"),
        ("properties.step.arguments", [{"name": "A"}], "Required property 'value' not found"),
        ("properties.step.isPushEnabled", "yes", "to type 'System.Boolean'"),
        ("properties.step.imageNames", "app", "to type 'System.Collections.Generic.List'"),
        ("properties.trigger", {"baseImageTrigger": {**BASE, "name": None}}, "'name' not found"),
        (
            "properties.trigger",
            {"baseImageTrigger": {**BASE, "baseImageTriggerType": "Sometimes"}},
            "Path 'properties.trigger.baseImageTrigger.baseImageTriggerType'",
        ),
        ("properties.trigger", {"baseImageTrigger": {**BASE, "status": "Off"}}, '"Off"'),
        ("properties.platform", {"os": "Plan9"}, "\"Plan9\" to type 'OS'"),
        ("properties.platform", {"architecture": "amd64"}, "Required property 'os' not found"),
        ("properties.timeout", 299, "must be between '300' and '28800'"),
        ("properties.colour", "red", "Could not find member 'colour'"),
        ("location", None, "Required property 'location' not found"),
        ("tags", {"a": 1}, "Error converting value to type 'System.String'"),
    ],
)
def test_a_misspelt_task_is_refused(
    apps: Registry, arm: httpx.Client, path: str, value: object, said: str
) -> None:
    """In ARM's words, with the place; nothing is made."""
    answer = arm.put(f"{apps.id}/tasks/builder", json=changed(task(), path, value))
    assert said in refused(answer)
    assert apps.tasks == {}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("properties.publicNetworkAccess", "Perhaps", "\"Perhaps\" to type 'PublicNetworkAccess'"),
        ("properties.networkRuleBypassOptions", "All", "'NetworkRuleBypassOptions'"),
        ("properties.networkRuleBypassAllowedForTasks", "yes", "'System.Boolean'"),
        ("properties.adminUser", True, "Could not find member 'adminUser'"),
        ("sku", None, "Required property 'sku' not found"),
        ("sku", {"name": "Gold"}, "\"Gold\" to type 'SkuName'"),
    ],
)
def test_a_misspelt_registry_is_refused(
    apps: Registry, arm: httpx.Client, path: str, value: object, said: str
) -> None:
    """By PUT; PATCH looks at what it is given alone."""
    body: Json = {"location": "westeurope", "sku": {"name": "Premium"}, "properties": {}}
    other = f"{apps.id.rpartition('/')[0]}/other"
    assert said in refused(arm.put(other, json=changed(body, path, value)))
    if path.startswith("properties."):
        assert said in refused(arm.patch(apps.id, json=changed({"properties": {}}, path, value)))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("eventDeliverySchema", "Nonsense", "'EventDeliverySchema'"),
        ("retryPolicy", {"maxDeliveryAttempts": 99}, "must be between '1' and '30'"),
        ("filters", {}, "Could not find member 'filters'"),
        ("destination", {"endpointType": "Pigeon"}, '"Pigeon"'),
        ("destination", {"properties": {}}, "Required property 'endpointType' not found"),
    ],
)
def test_a_misspelt_event_subscription_is_refused(
    apps: Registry, arm: httpx.Client, path: str, value: object, said: str
) -> None:
    """Of a registry here; those of system topics are looked at by the same schema."""
    place = f"{apps.id}/providers/Microsoft.EventGrid/eventSubscriptions/pushes"
    good = {"endpointType": "WebHook", "properties": {"endpointUrl": "https://x.example/"}}
    body = {"properties": {"destination": good, path: value}}
    assert said in refused(arm.put(place, json=body))


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        (
            "Microsoft.Web/sites/app",
            {"properties": {"siteConfig": {"minTlsVersions": "1.2"}}},
            "Could not find member 'minTlsVersions' on object of type 'SiteConfig'",
        ),
        (
            "Microsoft.Web/sites/app",
            {"properties": {"functionAppConfig": {"runtime": {"name": "perl"}}}},
            "\"perl\" to type 'RuntimeName'",
        ),
        (SITE_PLAN, {"properties": {"reserve": True}}, "Could not find member 'reserve'"),
        (
            "Microsoft.Storage/storageAccounts/stone",
            {"sku": {"name": "Standard_LRS"}, "kind": "Store"},
            "\"Store\" to type 'Kind'",
        ),
        (
            "Microsoft.EventGrid/systemTopics/topic",
            {"properties": {"source": "/x"}},
            "Required property 'topicType' not found",
        ),
        (
            "Microsoft.ManagedIdentity/userAssignedIdentities/me",
            {"propertys": {}},
            "Could not find member 'propertys'",
        ),
    ],
)
def test_other_misspelt_resources_are_refused(
    apps: Registry, arm: httpx.Client, kind: str, body: Json, said: str
) -> None:
    """A site, a plan, an account, a topic, an identity."""
    place = f"{apps.id.partition('/providers/')[0]}/providers/{kind}"
    assert said in refused(arm.put(place, json={"location": "westeurope", **body}))


@pytest.mark.parametrize(
    "kind",
    [
        *("Microsoft.Web/sites", "Microsoft.Storage/storageAccounts"),
        *("Microsoft.EventGrid/systemTopics", "Microsoft.ManagedIdentity/userAssignedIdentities"),
        *("Microsoft.ContainerRegistry/registries", "Microsoft.Resources/deployments"),
    ],
)
@pytest.mark.parametrize("version", ["nonsense", "2001-01-01"])
def test_unknown_versions_are_refused(
    apps: Registry, arm: httpx.Client, kind: str, version: str
) -> None:
    """By every provider, with the versions that there are."""
    place = f"{apps.id.partition('/providers/')[0]}/providers/{kind}"
    error = arm.get(place, params={"api-version": version}).json()["error"]
    assert error["code"] == "InvalidApiVersionParameter"
    assert f"The api-version '{version}' is invalid. The supported versions are" in error["message"]


def test_a_tasks_answer_is_azures(apps: Registry, arm: httpx.Client) -> None:
    """Defaults are told, the client's case is kept, and what is absent is left out."""
    place = f"{apps.id}/tasks/builder"
    triggers = {"baseImageTrigger": BASE, "timerTriggers": [{"name": "t", "schedule": "0 0 * * *"}]}
    made = arm.put(place, json=task(trigger=triggers, agentPoolName=None)).json()
    told = made["properties"]
    assert told["trigger"]["baseImageTrigger"] == {
        **BASE,
        "status": "Enabled",
        "updateTriggerPayloadType": "Default",
    }
    assert told["trigger"]["timerTriggers"][0]["status"] == "Enabled"
    assert told["platform"] == {"os": "linux"}
    assert told["creationDate"].endswith("+00:00")
    assert (told["status"], told["timeout"]) == ("Enabled", 3600)
    assert "null" not in arm.get(place).text
    assert {"tags", "identity"} & made.keys() == set()
    assert {"baseImageDependencies", "contextAccessToken"} & told["step"].keys() == set()


def test_null_changes_nothing(apps: Registry, arm: httpx.Client) -> None:
    """A PATCH with null says nothing of the member."""
    place = f"{apps.id}/tasks/builder"
    before = arm.put(place, json=task(trigger={"baseImageTrigger": BASE})).json()
    nothing = dict.fromkeys(("timeout", "platform", "status", "trigger"))
    after = arm.patch(place, json={"properties": nothing}).json()
    assert after == before
    arm.patch(
        place, json={"properties": {"trigger": {"baseImageTrigger": {**BASE, "status": None}}}}
    )
    assert arm.get(place).json() == before


@pytest.mark.parametrize("kind", ["FileTask", "EncodedTask"])
def test_no_answer_but_the_details_tells_a_secret(
    apps: Registry, arm: httpx.Client, kind: str
) -> None:
    """Values, and the address that a trigger tells, which holds a token."""
    own = {"taskFilePath": "acb.yaml"} if kind == "FileTask" else {"encodedTaskContent": "c3RlcHM="}
    values = [{"name": "KEY", "value": "s3cret", "isSecret": True}, {"name": "B", "value": "plain"}]
    base = {**BASE, "updateTriggerEndpoint": "https://me:s3cret@x.example/?code=s3cret"}
    place = f"{apps.id}/tasks/builder"
    body = task({"type": kind, **own, "values": values}, trigger={"baseImageTrigger": base})
    answers = [arm.put(place, json=body), arm.get(place), arm.get(f"{apps.id}/tasks")]
    answers.append(arm.patch(place, json={"tags": {"a": "b"}}))
    for answer in answers:
        assert answer.is_success, answer.text
        assert "s3cret" not in answer.text
        assert "plain" in answer.text
    details = arm.post(f"{place}/listDetails").json()["properties"]
    assert details["step"]["values"] == values
    assert details["trigger"]["baseImageTrigger"]["updateTriggerEndpoint"].count("s3cret") == 2


@pytest.mark.parametrize("keeps", [False, True])
def test_when_a_task_was_made(
    still: LocalCloud, apps: Registry, arm: httpx.Client, *, keeps: bool
) -> None:
    """The switch arm.put_keeps_creation plays both."""
    still.arm.behaviour.put_keeps_creation = keeps
    place = f"{apps.id}/tasks/builder"
    first = arm.put(place, json=task()).json()["properties"]["creationDate"]
    apps.tasks["builder"].properties["creationDate"] = "2020-01-01T00:00:00+00:00"
    second = arm.put(place, json=task()).json()["properties"]["creationDate"]
    assert second == ("2020-01-01T00:00:00+00:00" if keeps else first)


def test_when_a_task_was_last_written(apps: Registry, arm: httpx.Client) -> None:
    """PUT and PATCH count, and every answer tells it; a task of which it is unknown has none."""
    place, long_ago = f"{apps.id}/tasks/builder", "2020-01-01T00:00:00+00:00"
    made = arm.put(place, json=task()).json()["systemData"]
    for write in (partial(arm.put, json=task()), partial(arm.patch, json={"tags": {"a": "b"}})):
        apps.tasks["builder"].modified = long_ago
        assert arm.get(place).json()["systemData"] == {"lastModifiedAt": long_ago}
        assert write(place).json()["systemData"] == made
    (listed,) = arm.get(f"{apps.id}/tasks").json()["value"]
    assert listed["systemData"] == made
    apps.tasks["builder"].modified = ""
    assert "systemData" not in arm.get(place).json()


def test_a_scheduled_run_is_told_briefly(
    still: LocalCloud, apps: Registry, arm: httpx.Client
) -> None:
    """The run itself is for GET: its platform as the client wrote it, nothing that is null."""
    arm.put(f"{apps.id}/tasks/builder", json=task(agentConfiguration={"cpu": 4}))
    wanted = {"type": "TaskRunRequest", "taskId": f"{apps.id}/tasks/builder"}
    brief = arm.post(f"{apps.id}/scheduleRun", json=wanted).json()["properties"]
    assert brief.keys() == {
        *("runId", "status", "lastUpdatedTime", "provisioningState", "isArchiveEnabled")
    }
    assert still.wait_idle(SECONDS)
    answer = arm.get(f"{apps.id}/runs/{brief['runId']}")
    run = answer.json()["properties"]
    assert run["platform"]["os"] == "linux"
    assert run["agentConfiguration"] == {"cpu": 4}
    assert run["createTime"].endswith("+00:00")
    assert "null" not in answer.text
    assert "logArtifactLink" not in arm.post(f"{apps.id}/runs/{run['runId']}/listLogSasUrl").json()


def test_a_trigger_without_a_status_is_on(
    still: LocalCloud, apps: Registry, arm: httpx.Client
) -> None:
    """ACR's own trigger starts it, and takes a dependency's type in any case."""
    still.native_trigger.behaviour.enabled = True
    base = images.registry(still, "mybase")
    arm.put(
        f"{apps.id}/tasks/builder",
        json=task(trigger={"baseImageTrigger": {**BASE, "baseImageTriggerType": "runtime"}}),
    )
    recorded = [images.dependency("mybase.azurecr.io/node:1", "sha256:0", "RUNTIME")]
    apps.tasks["builder"].properties["step"]["baseImageDependencies"] = recorded
    images.push(still, base, "node", "1", "new")
    assert still.wait_idle(SECONDS)
    assert [run.properties["task"] for run in apps.runs.values()] == ["builder"]


def test_operations_go_on(still: LocalCloud, apps: Registry, arm: httpx.Client) -> None:
    """A registry is Creating, and gone later; the switch arm.polls lets clients ask again."""
    still.arm.behaviour.polls = 1
    other = f"{apps.id.rpartition('/')[0]}/other"
    made = arm.put(other, json={"location": "West Europe", "sku": {"name": "Premium"}})
    assert (made.status_code, made.json()["properties"]["provisioningState"]) == (201, "Creating")
    where = made.headers["azure-asyncoperation"]
    assert [arm.get(where).json()["status"] for _ in range(2)] == ["InProgress", "Succeeded"]
    assert arm.get(other).json()["properties"]["provisioningState"] == "Succeeded"
    gone = arm.delete(other)
    assert gone.status_code == 202
    assert [arm.get(gone.headers["location"]).status_code for _ in range(2)] == [202, 200]
    assert arm.get(other).status_code == 404
    assert arm.get(where.replace("operationStatuses/", "operationStatuses/x")).status_code == 404


@pytest.mark.parametrize("port", [False, True])
def test_every_list_has_pages(
    still: LocalCloud, apps: Registry, arm: httpx.Client, *, port: bool
) -> None:
    """With the switches arm.page_size and arm.links_name_a_port; the links lead to the whole."""
    still.arm.behaviour.page_size = 1
    still.arm.behaviour.links_name_a_port = port
    images.registry(still, "more")
    group, subscription = f"/subscriptions/{apps.subscription_id}/resourceGroups", None
    roles = f"{apps.id}/providers/Microsoft.Authorization/roleDefinitions"
    for path in (group, f"/subscriptions/{apps.subscription_id}/resources", roles):
        url, found = path, 0
        while url:
            page = arm.get(url).json()
            found += len(page["value"])
            assert len(page["value"]) == 1
            url = page.get("nextLink", "")
            assert not url or url.startswith("https://Management.Azure.Com:443/") is port
            url = url.replace("https://Management.Azure.Com:443", "")
        assert found >= 2, path
    del subscription
    assert arm.get(group, params={"$skiptoken": "eA=="}).status_code == 400


def test_subscriptions_are_changed_in_part(
    apps: Registry, arm: httpx.Client, webhook: Webhook
) -> None:
    """What a PATCH does not name stays: the webhook's address, the filter and its case."""
    place = f"{apps.id}/providers/Microsoft.EventGrid/eventSubscriptions/pushes"
    chosen = {"subjectBeginsWith": "Node:", "isSubjectCaseSensitive": True}
    destination = {"endpointType": "WebHook", "properties": {"endpointUrl": webhook.url}}
    assert arm.patch(place, json={"labels": ["a"]}).status_code == 404
    made = arm.put(place, json={"properties": {"destination": destination, "filter": chosen}})
    assert made.status_code == 201
    changed_ = arm.patch(place, json={"retryPolicy": {"maxDeliveryAttempts": 5}, "labels": ["a"]})
    assert changed_.status_code == 201
    told = arm.get(place).json()["properties"]
    assert told["retryPolicy"]["maxDeliveryAttempts"] == 5
    assert told["filter"] | chosen == told["filter"]
    assert told["labels"] == ["a"]
    assert told["destination"] == made.json()["properties"]["destination"]
    wrong = arm.patch(place, json={"properties": {"labels": []}})
    assert "Could not find member 'properties'" in refused(wrong)


def test_a_topic_is_changed_in_part(still: LocalCloud, apps: Registry, arm: httpx.Client) -> None:
    """Its tags and identity, by PATCH; its subscriptions name it as their topic."""
    topic = f"{apps.id.partition('/providers/')[0]}/providers/Microsoft.EventGrid/systemTopics/t"
    assert arm.patch(topic, json={"tags": {}}).status_code == 404
    kind = "Microsoft.ContainerRegistry.Registries"
    properties = {"source": apps.id, "topicType": kind}
    arm.put(topic, json={"location": "westeurope", "properties": properties})
    body = {"tags": {"a": "b"}, "identity": {"type": "SystemAssigned"}}
    told = arm.patch(topic, json=body).json()
    assert told["tags"] == {"a": "b"}
    assert still.directory.by_object_id(told["identity"]["principalId"])
    assert told["properties"]["source"] == apps.id


def test_identities_are_not_made_by_patch(apps: Registry, arm: httpx.Client) -> None:
    """404 for one that is not there; tags are changed of one that is."""
    group = apps.id.partition("/providers/")[0]
    place = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/me"
    assert arm.patch(place, json={"tags": {"a": "b"}}).status_code == 404
    made = arm.put(place, json={"location": "westeurope"}).json()
    told = arm.patch(place, json={"tags": {"a": "b"}}).json()
    assert (told["tags"], told["properties"]) == ({"a": "b"}, made["properties"])


def test_assignments_tell_who_made_them(
    still: LocalCloud, apps: Registry, arm: httpx.Client
) -> None:
    """And when; written again, they keep it."""
    place = f"{apps.id}/providers/Microsoft.Authorization/roleAssignments"
    place += "/9a3f1e52-0f3c-4b6e-8a3d-2f1d5b0c7e11"
    role = next(role for role in still.roles.roles() if role.name == "Reader")
    body = {
        "properties": {
            "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{role.id}",
            "principalId": still.function_app.object_id,
        }
    }
    first = arm.put(place, json=body)
    again = arm.put(place, json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    told = again.json()["properties"]
    assert told["createdBy"] == told["updatedBy"] == still.developer.object_id
    assert told["createdOn"] == first.json()["properties"]["createdOn"]


def test_blobs_may_be_elsewhere(still: LocalCloud, apps: Registry) -> None:
    """With the switch registry.blobs_elsewhere a GET is sent on, and needs no token there."""
    images.push(still, apps, "node", "1", "text")
    (manifest,) = still.registry.store.repository(apps, "node").manifests.values()
    digest = manifest.content["config"]["digest"]
    token = still.registry.registry_token(apps, "somebody")
    url = f"https://{apps.login_server}/v2/node/blobs/{digest}"
    still.registry.behaviour.blobs_elsewhere = True
    user = "00000000-0000-0000-0000-000000000000"
    with still.network.client() as http:
        sent_on = http.get(url, auth=(user, token), follow_redirects=False)
        assert sent_on.status_code == 307
        place = httpx.URL(sent_on.headers["location"])
        assert str(place.host).endswith(".blob.core.windows.net")
        assert http.get(place).content == still.registry.blob(apps, "node", digest)
        assert http.get(place.copy_remove_param("sig")).status_code == 403
        assert http.head(url, auth=(user, token)).status_code == 200


def test_a_deletion_is_told_briefly(still: LocalCloud, apps: Registry, webhook: Webhook) -> None:
    """Of a deleted image Event Grid tells type, digest and repository alone."""
    still.eventgrid.subscribe(apps, "all", webhook.url)
    digest = images.push(still, apps, "node", "1", "text")
    still.registry.delete_manifest(apps, "node", digest)
    assert still.wait_idle(SECONDS)
    events = [event for call in webhook.calls for event in call.body]
    (gone,) = [e for e in events if e["eventType"].endswith("ImageDeleted")]
    assert gone["data"]["target"].keys() == {"mediaType", "digest", "repository"}
