"""Import, by Azure's SDK and with the bodies that `az acr import` sends."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.containerregistry import ContainerRegistryManagementClient

from localcloud.builds.client import CONFIG, LAYER, MANIFEST, Client
from localcloud.builds.images import pull as pull_image
from localcloud.builds.job import HERE
from localcloud.cloud import LocalCloud
from localcloud.registry.auth import TOKEN_USER
from localcloud.registry.store import digest_of
from localcloud.state import Json, Registry
from tests import images
from tests.patience import SECONDS
from tests.webhook import Webhook

INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture(name="source")
def _source(still: LocalCloud) -> Registry:
    return images.registry(still, "source", 1)


class Importer:
    """Imports into one registry by Azure's SDK, as the CLI does."""

    def __init__(self, client: ContainerRegistryManagementClient, target: Registry) -> None:
        self._client = client
        self._target = target

    def __call__(self, source: Json, *tags: str, mode: str = "NoForce", **more: Any) -> None:  # noqa: ANN401
        """Import an image and wait until that is done."""
        body: Any = {"source": source, "targetTags": list(tags), "mode": mode, **more}
        group, name = self._target.resource_group, self._target.name
        self._client.registries.begin_import_image(group, name, body).result()


@pytest.fixture(name="importer")
def _importer(registries: ContainerRegistryManagementClient, apps: Registry) -> Importer:
    return Importer(registries, apps)


def pull(cloud: LocalCloud, registry: Registry, image: str) -> str:
    """Pull an image with its config and layers, as docker does; return its digest."""
    host = registry.login_server
    token = cloud.registry.registry_token(registry, "t")
    with Client(cloud.network, {host: (TOKEN_USER, token)}) as client:
        pulled, digest = pull_image(client, f"{host}/{image}", HERE, print)
        for layer in pulled.layers:
            layer.read(client)
    return digest


def push_index(cloud: LocalCloud, registry: Registry, repository: str, tag: str) -> str:
    """Push an image for two architectures, one with a layer; return the index's digest."""
    service, entries = cloud.registry, []
    for architecture in ("amd64", "arm64"):
        config = json.dumps({"architecture": architecture, "os": "linux"}).encode()
        layer = f"layer for {architecture}".encode()
        parts = {
            "config": {
                "mediaType": CONFIG,
                "size": len(config),
                "digest": service.put_blob(registry, repository, config),
            },
            "layers": [
                {
                    "mediaType": LAYER,
                    "size": len(layer),
                    "digest": service.put_blob(registry, repository, layer),
                }
            ],
        }
        data = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, **parts}).encode()
        child = service.store.put_manifest(registry, repository, digest_of(data), MANIFEST, data)
        platform = {"architecture": architecture, "os": "linux"}
        entries.append({"mediaType": MANIFEST, "digest": child.digest, "platform": platform})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    return service.put_manifest(registry, repository, tag, INDEX, index).digest


def tags(cloud: LocalCloud, registry: Registry) -> dict[str, str]:
    """Return the digest of every tag of a registry."""
    with cloud.registry.store.repositories(registry) as known:
        return {
            f"{name}:{tag}": held.digest
            for name, repository in known.items()
            for tag, held in repository.tags.items()
        }


def test_from_another_subscriptions_registry(
    still: LocalCloud, apps: Registry, source: Registry, importer: Importer
) -> None:
    """By resource id, with a tag, with a digest, and with no tag at all; new names or the old."""
    digest = images.push(still, source, "base", "1", "a")
    latest = images.push(still, source, "base", "latest", "b")
    importer({"resourceId": source.id, "sourceImage": "base:1"}, "base:1", "team/copy")
    importer({"resourceId": source.id.upper(), "sourceImage": f"base@{digest}"}, "pinned", "old:v2")
    importer({"resourceId": source.id, "sourceImage": "base"}, "newest")

    assert tags(still, apps) == {
        "base:1": digest,
        "team/copy:1": digest,
        "pinned:latest": digest,
        "old:v2": digest,
        "newest:latest": latest,
    }
    assert pull(still, apps, "team/copy:1") == digest


def test_every_architecture_is_copied(
    still: LocalCloud, apps: Registry, source: Registry, importer: Importer
) -> None:
    """An index comes with its manifests, their configs and layers."""
    digest = push_index(still, source, "base", "1")
    importer({"resourceId": source.id, "sourceImage": "base:1"}, "base:1")
    index = still.registry.store.manifest(apps, "base", digest).content
    assert pull(still, apps, "base:1") == digest
    children = [entry["digest"] for entry in index["manifests"]]
    assert [pull(still, apps, f"base@{child}") for child in children] == children


def test_without_a_tag(
    still: LocalCloud, apps: Registry, source: Registry, importer: Importer
) -> None:
    """`--repository` copies the manifest alone."""
    digest = images.push(still, source, "base", "1", "a")
    asked = {"resourceId": source.id, "sourceImage": "base:1"}
    importer(asked, untaggedTargetRepositories=["bare"])
    assert tags(still, apps) == {}
    assert pull(still, apps, f"bare@{digest}") == digest


def test_from_docker_hub(still: LocalCloud, apps: Registry, importer: Importer) -> None:
    """What the tutorial's users do with the public base image."""
    asked = {"registryUri": "docker.io", "sourceImage": "library/node:9-alpine"}
    importer(asked, "baseimages/node:9-alpine")
    hub = still.registry.store.manifest(still.registry.hub(), "library/node", "9-alpine")
    assert pull(still, apps, "baseimages/node:9-alpine") == hub.digest


def test_with_a_password(
    still: LocalCloud, apps: Registry, source: Registry, importer: Importer
) -> None:
    """A private registry that is named by its host wants its credentials."""
    digest = images.push(still, source, "base", "1", "a")
    asked: Json = {"registryUri": source.login_server, "sourceImage": "base:1"}
    good = {"username": source.name, "password": source.admin_password}
    for credentials in (None, {**good, "password": "wrong"}, {"password": good["password"]}):
        with pytest.raises(HttpResponseError) as raised:
            importer({**asked, "credentials": credentials}, "base:1")
        assert raised.value.status_code == 403
    assert tags(still, apps) == {}
    importer({**asked, "credentials": good}, "base:1")
    assert tags(still, apps) == {"base:1": digest}


def test_a_tag_is_overwritten_only_by_force(
    still: LocalCloud, apps: Registry, source: Registry, importer: Importer
) -> None:
    """Without it, nothing is copied at all, not even what is free."""
    old = images.push(still, apps, "base", "1", "old")
    new = images.push(still, source, "base", "1", "new")
    asked = {"resourceId": source.id, "sourceImage": "base:1"}
    with pytest.raises(ResourceExistsError, match="base:1 already exists in target registry"):
        importer(asked, "free:1", "base:1")
    assert tags(still, apps) == {"base:1": old}
    importer(asked, "free:1", "base:1", mode="Force")
    assert tags(still, apps) == {"base:1": new, "free:1": new}


@pytest.mark.parametrize("sends_events", [True, False])
def test_an_import_may_be_an_event(
    still: LocalCloud,
    apps: Registry,
    source: Registry,
    importer: Importer,
    webhook: Webhook,
    *,
    sends_events: bool,
) -> None:
    """One for every tag and none for its parts; it tells no request, as no client pushed."""
    still.arm.imports.sends_events = sends_events
    still.eventgrid.subscribe(apps, "builds", webhook.url)
    digest = push_index(still, source, "base", "1")
    importer({"resourceId": source.id, "sourceImage": "base:1"}, "base:1")
    assert still.wait_idle(SECONDS)
    events = [call.body[0] for call in webhook.calls]
    assert [event["subject"] for event in events] == (["base:1"] if sends_events else [])
    for event in events:
        assert event["data"]["target"]["digest"] == digest
        assert "request" not in event["data"]


@pytest.mark.parametrize("triggers", [True, False])
def test_acrs_own_trigger_may_see_an_import(
    still: LocalCloud, apps: Registry, source: Registry, importer: Importer, *, triggers: bool
) -> None:
    """Users report that it does not; the switch says otherwise."""
    still.native_trigger.behaviour.enabled = True
    still.arm.imports.triggers_tasks = triggers
    enabled = {"baseImageTrigger": {"name": "d", "status": "Enabled"}}
    images.task(apps, "builder", [images.dependency("myapps.azurecr.io/base:1")], trigger=enabled)
    images.push(still, source, "base", "1", "new")
    importer({"resourceId": source.id, "sourceImage": "base:1"}, "base:1")
    assert still.wait_idle(SECONDS)
    assert len(apps.runs) == int(triggers)


def test_what_is_not_there_is_not_imported(
    still: LocalCloud, apps: Registry, source: Registry, importer: Importer
) -> None:
    """Neither from unknown registries, nor unknown images; and the error says which."""
    images.push(still, source, "base", "1", "a")
    with pytest.raises(ResourceNotFoundError, match="nowhere"):
        importer({"resourceId": source.id.replace("source", "nowhere"), "sourceImage": "b"}, "b")
    with pytest.raises(ResourceNotFoundError, match="'9' is not found"):
        importer({"resourceId": source.id, "sourceImage": "base:9"}, "base:9")
    with pytest.raises(HttpResponseError, match=r"mcr\.microsoft\.com"):
        importer({"registryUri": "mcr.microsoft.com", "sourceImage": "base:1"}, "base:1")
    with pytest.raises(HttpResponseError, match="needed"):
        importer({"resourceId": source.id, "sourceImage": "base:1"})
    assert tags(still, apps) == {}


def test_an_image_of_too_many_manifests(
    still: LocalCloud, apps: Registry, source: Registry, importer: Importer
) -> None:
    """ACR imports at most 50."""
    service, entries = still.registry, []
    for number in range(50):
        data = json.dumps({"schemaVersion": 2, "number": number}).encode()
        service.store.put_manifest(source, "base", digest_of(data), MANIFEST, data)
        entries.append({"mediaType": MANIFEST, "digest": digest_of(data)})
    for tag, count in (("49", 49), ("50", 50)):
        content = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries[:count]}
        service.put_manifest(source, "base", tag, INDEX, json.dumps(content).encode())
    importer({"resourceId": source.id, "sourceImage": "base:49"}, "base:49")
    with pytest.raises(HttpResponseError, match="50 manifests"):
        importer({"resourceId": source.id, "sourceImage": "base:50"}, "base:50")
    assert list(tags(still, apps)) == ["base:49"]


def test_an_operation_that_was_not_begun(apps: Registry, arm: httpx.Client) -> None:
    """The address that 202 gives is known; another is not."""
    path = f"/subscriptions/{apps.subscription_id}/providers/Microsoft.ContainerRegistry"
    answer = arm.get(
        f"{path}/locations/westeurope/operationResults/registries-1",
        params={"api-version": "2025-11-01"},
    )
    assert answer.status_code == 404
