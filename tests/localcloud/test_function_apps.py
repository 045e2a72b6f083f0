"""Function apps of the local cloud: published over Kudu's site, run with their own identity."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from localcloud.cloud import LocalCloud
from localcloud.directory import Principal
from localcloud.state import Json
from localcloud.tokens import Credential
from tests import images
from tests.armversions import version_of
from tests.patience import SECONDS, until

SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/apps"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/strebuilder"
PLAN = f"{GROUP}/providers/Microsoft.Web/serverfarms/plan"
SITE = f"{GROUP}/providers/Microsoft.Web/sites/func-test"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-test"
TOPIC = f"{GROUP}/providers/Microsoft.EventGrid/systemTopics/pushes"
SUBSCRIBED = f"{TOPIC}/eventSubscriptions/images"

APP = """
import json, os
import azure.functions as func

app = func.FunctionApp()

@app.event_grid_trigger(arg_name="event")
@app.queue_output(arg_name="out", queue_name="seen", connection="AzureWebJobsStorage")
def pushed(event: func.EventGridEvent, out: func.Out[str]) -> None:
    names = ("GREETING", "WEBSITE_SITE_NAME", "AZURE_CLIENT_ID", "LOCALCLOUD_ADMIN")
    out.set(json.dumps({name: os.environ.get(name) for name in names}))

@app.event_grid_trigger(arg_name="event")
def broken(event: func.EventGridEvent) -> None:
    raise ValueError("no")

@app.queue_trigger(arg_name="message", queue_name="unused", connection="AzureWebJobsStorage")
def received(message: func.QueueMessage) -> None:
    pass
"""
HOST = '{"version": "2.0", "extensions": {"queues": {"maxPollingInterval": "00:00:01"}}}'


class World:
    """A deployed function app, asked for by the developer."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.http = cloud.network.client()
        credential = Credential(cloud.tokens, cloud.developer)
        self.token = credential.get_token("https://management.azure.com/.default").token

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Ask ARM."""
        url = f"https://management.azure.com{path}?api-version={version_of(path)}"
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.http.request(method, url, json=body, headers=headers)

    def put(self, path: str, body: Json) -> Json:
        """Create something."""
        answer = self.ask("PUT", path, body)
        assert answer.is_success, answer.text
        told: Json = answer.json()
        return told

    def storage(self, service: str, path: str, who: Principal, method: str = "GET") -> bytes:
        """Ask the storage account as somebody."""
        token = Credential(self.cloud.tokens, who).get_token("https://storage.azure.com").token
        headers = {"Authorization": f"Bearer {token}", "x-ms-version": "2023-11-03"}
        url = f"https://strebuilder.{service}.core.windows.net{path}"
        return self.http.request(method, url, headers=headers).content

    def publish(self, package: bytes) -> Json:
        """Publish as azure-cli does, and wait; return what Kudu says."""
        url = "https://func-test.scm.azurewebsites.net/api"
        headers = {"Authorization": f"Bearer {self.token}"}
        sent = self.http.post(f"{url}/publish?RemoteBuild=True", content=package, headers=headers)
        assert sent.status_code == 202, sent.text

        def over() -> Any:  # noqa: ANN401 - JSON
            told = self.http.get(f"{url}/deployments/latest", headers=headers).json()
            return told if told["complete"] else None

        found: Json = until(over)
        return found

    def topic(self) -> Principal:
        """Create a base registry's topic; return its identity."""
        registry = images.registry(self.cloud, "mybase", 0)
        told = self.put(
            TOPIC,
            {
                "location": "westeurope",
                "identity": {"type": "SystemAssigned"},
                "properties": {
                    "source": registry.id,
                    "topicType": "Microsoft.ContainerRegistry.Registries",
                },
            },
        )
        found = self.cloud.directory.by_object_id(told["identity"]["principalId"])
        assert found is not None
        return found

    def push(self, repository: str) -> None:
        """Push an image to the base registry."""
        registry = self.cloud.state.by_host("mybase.azurecr.io")
        assert registry is not None
        images.push(self.cloud, registry, repository, "1", repository)


def zipped(**files: str) -> bytes:
    """Return a package."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "."), text)
    return buffer.getvalue()


PACKAGE = zipped(function_app__py=APP, host__json=HOST)


@pytest.fixture(name="world")
def _world(cloud: LocalCloud) -> Iterator[World]:
    cloud.create_group(SUBSCRIPTION, "apps", "westeurope")
    world = World(cloud)
    with world.http:
        location = {"location": "westeurope"}
        world.put(ACCOUNT, {**location, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}})
        for container in ("package", "deadletter"):
            world.put(f"{ACCOUNT}/blobServices/default/containers/{container}", {})
        identity = world.put(IDENTITY, location)["properties"]
        world.put(PLAN, {**location, "sku": {"name": "FC1"}, "properties": {"reserved": True}})
        world.put(
            SITE,
            {
                **location,
                "kind": "functionapp,linux",
                "identity": {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}},
                "properties": {
                    "serverFarmId": PLAN,
                    "functionAppConfig": {
                        "runtime": {"name": "python", "version": "3.13"},
                        "deployment": {
                            "storage": {
                                "type": "blobContainer",
                                "value": "https://strebuilder.blob.core.windows.net/package",
                                "authentication": {
                                    "type": "UserAssignedIdentity",
                                    "userAssignedIdentityResourceId": IDENTITY,
                                },
                            }
                        },
                    },
                    "siteConfig": {
                        "appSettings": [
                            {"name": "GREETING", "value": "hello"},
                            {"name": "AZURE_CLIENT_ID", "value": identity["clientId"]},
                            {"name": "AzureWebJobsStorage__accountName", "value": "strebuilder"},
                            {
                                "name": "AzureWebJobsStorage__credential",
                                "value": "managedidentity",
                            },
                            {
                                "name": "AzureWebJobsStorage__clientId",
                                "value": identity["clientId"],
                            },
                        ]
                    },
                },
            },
        )
        for role in ("Storage Blob Data Owner", "Storage Queue Data Contributor"):
            cloud.roles.assign(role, identity["principalId"], ACCOUNT)
        for role in ("Storage Blob Data Reader", "Storage Queue Data Reader"):
            cloud.roles.assign(role, cloud.developer.object_id, ACCOUNT)
        yield world


def _subscription(function: str, **properties: object) -> Json:
    destination = {
        "endpointType": "AzureFunction",
        "properties": {"resourceId": f"{SITE}/functions/{function}", "maxEventsPerBatch": 1},
    }
    chosen = {"includedEventTypes": ["Microsoft.ContainerRegistry.ImagePushed"]}
    return {"properties": {"destination": destination, "filter": chosen, **properties}}


def test_flex_refuses_what_it_has_no_use_for(world: World) -> None:
    """In Azure's words, with its code; nothing of the site is changed."""
    useless: Json = {
        "ftpsState": "Disabled",
        "linuxFxVersion": "Python|3.13",
        "netFrameworkVersion": "v8.0",
        "use32BitWorkerProcess": False,
        "functionAppScaleLimit": 5,
        "preWarmedInstanceCount": 1,
        "functionsRuntimeScaleMonitoringEnabled": True,
    }
    for name, value in useless.items():
        site = world.ask("GET", SITE).json()
        site["properties"]["siteConfig"] = {name: value, "http20Enabled": True}
        answer = world.ask("PUT", SITE, site)
        assert answer.status_code == 400
        error = answer.json()["error"]
        known = (
            f"(Site.SiteConfig.{name[0].upper()}{name[1:]}) for Flex Consumption sites is invalid"
        )
        assert known in error["message"]
        assert error["details"][2]["ErrorEntity"]["ExtendedCode"] == "51021"
    assert not useless.keys() & world.ask("GET", f"{SITE}/config/web").json()["properties"].keys()


def test_settings_are_not_for_readers(world: World) -> None:
    """They are listed by POST, which a Reader may not, and GET shows them to nobody."""
    assert world.ask("GET", f"{SITE}/config/appsettings").status_code == 405
    reader = world.cloud.directory.create("reader")
    world.cloud.roles.assign("Reader", reader.object_id, GROUP)
    world.token = world.cloud.tokens.issue(reader, "https://management.azure.com/")
    assert world.ask("GET", SITE).status_code == 200
    assert world.ask("POST", f"{SITE}/config/appsettings/list").status_code == 403


def test_triggers_can_be_synced(world: World) -> None:
    """The functions are known anyway, so there is nothing to tell."""
    assert world.ask("POST", f"{SITE}/host/default/sync").status_code == 204
    assert world.ask("POST", f"{SITE}x/host/default/sync").status_code == 404


def test_a_push_reaches_the_published_function(world: World) -> None:
    """A function sees its settings, Azure's variables, and events that pass the filter alone."""
    world.topic()
    early = world.ask("PUT", SUBSCRIBED, _subscription("pushed")).json()["error"]
    assert early["code"] == "Endpoint validation"
    assert early["message"].startswith("Destination endpoint not found. Resource details: ")
    assert world.publish(PACKAGE)["status"] == 4, world.cloud.apps.log(SITE)
    listed = world.ask("GET", f"{SITE}/functions").json()["value"]
    assert {f["name"] for f in listed} == {
        f"func-test/{n}" for n in ("pushed", "broken", "received")
    }
    wrong = world.ask("PUT", SUBSCRIBED, _subscription("received")).json()["error"]
    assert wrong["code"] == "Unsupported Azure Function Trigger"
    body = _subscription("pushed")
    condition = {"operatorType": "StringBeginsWith", "key": "data.target.repository"}
    body["properties"]["filter"]["advancedFilters"] = [{**condition, "values": ["base/"]}]
    world.put(SUBSCRIBED, body)
    world.push("other/node")
    world.push("base/node")
    developer = world.cloud.developer
    peek = "/seen/messages?peekonly=true&numofmessages=32"

    def peeked() -> str:
        told = world.storage("queue", peek, developer).decode()
        return told if "<MessageText>" in told else ""

    text = until(peeked)
    assert text.count("<MessageText>") == 1
    client_id = world.ask("GET", IDENTITY).json()["properties"]["clientId"]
    seen = json.loads(
        base64.b64decode(text.partition("<MessageText>")[2].partition("</MessageText>")[0])
    )
    assert seen == {
        "GREETING": "hello",
        "WEBSITE_SITE_NAME": "func-test",
        "AZURE_CLIENT_ID": client_id,
        "LOCALCLOUD_ADMIN": None,
    }
    used = {(o.service, o.operation.name) for o in world.cloud.storage_operations()}
    assert {("blob", "Put Blob"), ("blob", "Get Blob"), ("queue", "Put Message")} <= used
    keys = world.ask("POST", f"{SITE}/host/default/listKeys").json()
    status = world.http.get(
        "https://func-test.azurewebsites.net/admin/host/status",
        headers={"x-functions-key": keys["masterKey"]},
    )
    assert status.json()["state"] == "Running"


def test_settings_start_the_app_anew(world: World) -> None:
    """New settings start the app anew with the same keys; the same settings leave it alone."""
    world.publish(PACKAGE)
    address = world.cloud.apps.address(SITE)
    settings = world.ask("POST", f"{SITE}/config/appsettings/list").json()["properties"]
    world.put(f"{SITE}/config/appsettings", {"properties": settings})
    assert world.cloud.apps.address(SITE) == address
    world.put(f"{SITE}/config/appsettings", {"properties": {**settings, "GREETING": "bye"}})
    assert world.cloud.apps.address(SITE) != address
    refused = {"properties": {**settings, "FUNCTIONS_WORKER_RUNTIME": "python"}}
    error = world.ask("PUT", f"{SITE}/config/appsettings", refused).json()["error"]
    assert "FUNCTIONS_WORKER_RUNTIME) for Flex Consumption sites is invalid" in error["message"]


def test_publishing_needs_roles(world: World) -> None:
    """Who may not publish is refused, and an app that may not use its container is told so."""
    url = "https://func-test.scm.azurewebsites.net/api/publish"
    nobody = Credential(world.cloud.tokens, world.cloud.function_app)
    token = nobody.get_token("https://management.azure.com").token
    assert world.http.post(url, content=PACKAGE).status_code == 401
    headers = {"Authorization": f"Bearer {token}"}
    assert world.http.post(url, content=PACKAGE, headers=headers).status_code == 403
    assert world.publish(b"no archive")["status"] == 3
    assert "host.json" in world.publish(zipped(function_app__py=APP))["status_text"]
    world.cloud.roles.forget_scope(ACCOUNT)
    told = world.publish(PACKAGE)
    assert told["status"] == 3
    assert "403 AuthorizationPermissionMismatch" in told["status_text"]
    assert world.ask("GET", f"{SITE}/functions").json() == {"value": []}


def test_dead_letters_go_to_the_container(world: World) -> None:
    """An event that is given up is a blob, written by the topic's identity if it may."""
    identity = world.topic()
    world.publish(PACKAGE)
    letters = {
        "identity": {"type": "SystemAssigned"},
        "deadLetterDestination": {
            "endpointType": "StorageBlob",
            "properties": {"resourceId": ACCOUNT, "blobContainerName": "deadletter"},
        },
    }
    body = _subscription(
        "broken", deadLetterWithResourceIdentity=letters, retryPolicy={"maxDeliveryAttempts": 1}
    )
    world.put(SUBSCRIBED, body)
    listing = "/deadletter?restype=container&comp=list"
    world.push("base/lost")
    assert world.cloud.eventgrid.wait_idle(SECONDS)
    developer = world.cloud.developer
    assert b"<Name>" not in world.storage("blob", listing, developer)
    place = f"{ACCOUNT}/blobServices/default/containers/deadletter"
    world.cloud.roles.assign("Storage Blob Data Contributor", identity.object_id, place)
    world.push("base/node")

    def listed() -> str:
        told = world.storage("blob", listing, developer).decode()
        return told if "<Name>" in told else ""

    name = until(listed).partition("<Name>")[2].partition("</Name>")[0]
    assert name.startswith("pushes/IMAGES/20")
    (letter,) = json.loads(world.storage("blob", f"/deadletter/{name}", developer))
    assert letter["deadLetterReason"] == "MaxDeliveryAttemptsExceeded"
    assert (letter["deliveryAttempts"], letter["lastDeliveryOutcome"]) == (1, "InternalServerError")
    assert letter["data"]["target"]["repository"] == "base/node"


def test_one_topic_per_source(world: World) -> None:
    """A source has one topic; it is written again without change, but not for another source."""
    world.topic()
    first = world.ask("GET", TOPIC).json()
    body: Json = {"location": "westeurope", "properties": dict(first["properties"])}
    assert world.put(TOPIC, body) == first
    second = world.ask("PUT", f"{TOPIC}2", body).json()["error"]
    assert second["message"].startswith("There is an existing tracked system topic for the given")
    body["properties"]["source"] = images.registry(world.cloud, "otherbase", 1).id
    changed = world.ask("PUT", TOPIC, body).json()["error"]
    assert changed["message"] == "System topic source cannot be modified."


def test_events_go_into_a_queue_by_the_topics_identity(world: World) -> None:
    """One message each, in Base64, for as long as nobody takes it; without the role, dead letters.

    Azure shows where an identity delivers, and no other destination.
    """
    topic = world.topic()
    queue = f"{ACCOUNT}/queueServices/default/queues/events"
    world.put(queue, {})
    letters = f"{ACCOUNT}/blobServices/default/containers/deadletter"
    roles = world.cloud.roles
    roles.assign("Storage Blob Data Contributor", topic.object_id, letters)
    by_topic = {"type": "SystemAssigned"}
    place = {"resourceId": ACCOUNT, "queueName": "events", "queueMessageTimeToLiveInSeconds": -1}
    delivery = {"endpointType": "StorageQueue", "properties": place}
    container = {"resourceId": ACCOUNT, "blobContainerName": "deadletter"}
    kept = {"endpointType": "StorageBlob", "properties": container}
    body = {
        "deliveryWithResourceIdentity": {"identity": by_topic, "destination": delivery},
        "deadLetterWithResourceIdentity": {"identity": by_topic, "deadLetterDestination": kept},
        "eventDeliverySchema": "CloudEventSchemaV1_0",
        "filter": {"includedEventTypes": ["Microsoft.ContainerRegistry.ImagePushed"]},
    }
    told = world.put(SUBSCRIBED, {"properties": body})["properties"]
    assert "destination" not in told
    assert told["deliveryWithResourceIdentity"]["destination"] == delivery
    world.push("none")
    developer = world.cloud.developer
    listing = "/deadletter?restype=container&comp=list"
    until(lambda: b"<Name>" in world.storage("blob", listing, developer))

    roles.assign("Storage Queue Data Message Sender", topic.object_id, queue)
    world.push("some")

    def peek() -> bytes:
        return world.storage("queue", "/events/messages?peekonly=true", developer)

    until(lambda: b"<MessageText>" in peek())
    text = peek().partition(b"<MessageText>")[2].partition(b"<")[0]
    event = json.loads(base64.b64decode(text))
    assert event["specversion"] == "1.0"
    assert event["data"]["target"]["repository"] == "some"
    assert b"<ExpirationTime>Fri, 31 Dec 9999" in peek()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"endpointType": "EventHub", "properties": {"resourceId": "x"}},
            "delivers by an identity to storage queues only",
        ),
        ({"properties": {"resourceId": ACCOUNT}}, "give resourceId and"),
        ({"properties": {"resourceId": f"{ACCOUNT}x", "queueName": "q"}}, "strebuilderx"),
    ],
)
def test_destinations_that_are_not_there(world: World, changes: Json, said: str) -> None:
    """A queue of an account that is not there, none at all, another kind."""
    world.topic()
    place = {"resourceId": ACCOUNT, "queueName": "events"}
    destination = {"endpointType": "StorageQueue", "properties": place, **changes}
    delivery = {"identity": {"type": "SystemAssigned"}, "destination": destination}
    answer = world.http.put(
        f"https://management.azure.com{SUBSCRIBED}",
        json={"properties": {"deliveryWithResourceIdentity": delivery}},
        params={"api-version": "2025-02-15"},
        headers={"Authorization": f"Bearer {world.token}"},
    )

    assert answer.status_code in (400, 404)
    assert said in answer.text


def test_who_is_shut_out_does_not_publish(world: World) -> None:
    """Access restrictions of Kudu's site: this machine is 127.0.0.1 and no service tag."""
    headers = {"Authorization": f"Bearer {world.token}"}
    url = "https://func-test.scm.azurewebsites.net/api/publish"

    def answered(**config: object) -> int:
        assert world.ask("PATCH", f"{SITE}/config/web", {"properties": config}).is_success
        # No token: whoever is let in is asked for one.
        return world.http.post(url, headers={}).status_code

    rule = {"name": "me", "action": "Allow", "priority": 200}
    assert answered(scmIpSecurityRestrictionsDefaultAction="Deny") == 403
    assert world.http.post(url, headers=headers).text == "Ip Forbidden"
    tag = [{**rule, "ipAddress": "AzureEventGrid", "tag": "ServiceTag"}]
    assert answered(scmIpSecurityRestrictions=tag) == 403
    assert answered(scmIpSecurityRestrictions=[{**rule, "ipAddress": "127.0.0.1/32"}]) == 401
    denied = {**rule, "action": "Deny", "priority": 100, "ipAddress": "127.0.0.0/8"}
    more = [{**rule, "ipAddress": "127.0.0.1/32"}, denied]
    assert answered(scmIpSecurityRestrictions=more) == 403
    assert answered(scmIpSecurityRestrictionsUseMain=True) == 401
    assert answered(ipSecurityRestrictionsDefaultAction="Deny") == 403
    refused = world.ask("PATCH", f"{SITE}/config/web", {"properties": {"ftpsState": "Disabled"}})
    assert refused.status_code == 400
