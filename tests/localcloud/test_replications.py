"""Geo-replication: by Azure's SDK, and what it means for hosts and events."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.containerregistry import ContainerRegistryManagementClient

from localcloud.cloud import LocalCloud
from localcloud.state import Registry, Replication
from tests import images
from tests.patience import SECONDS
from tests.webhook import Webhook


def body(location: str, **properties: object) -> Any:  # noqa: ANN401 - the SDK takes dictionaries
    """Return a replication in ARM's wire form."""
    return {"location": location, "tags": {"team": "web"}, "properties": properties}


def test_replications_are_created_changed_and_deleted(
    apps: Registry, registries: ContainerRegistryManagementClient
) -> None:
    """What `az acr replication create`, `list`, `update`, `show` and `delete` send."""
    group, name, client = apps.resource_group, apps.name, registries.replications
    made = client.begin_create(group, name, "eastus", body("East US")).result()
    client.begin_create(group, name, "japan", body("japaneast", zoneRedundancy="Enabled")).result()
    change: Any = {"tags": {"team": "ops"}, "properties": {"regionEndpointEnabled": False}}
    client.begin_update(group, name, "eastus", change).result()
    shown = client.get(group, name, "EastUS")
    listed = {str(item.name): item.location for item in client.list(group, name)}

    assert made.properties is not None
    assert (made.location, made.properties.provisioning_state) == ("eastus", "Succeeded")
    assert made.properties.region_endpoint_enabled is True
    assert shown.properties is not None
    assert shown.properties.region_endpoint_enabled is False
    assert shown.tags == {"team": "ops"}
    assert listed == {"westeurope": "westeurope", "eastus": "eastus", "japan": "japaneast"}
    home = client.get(group, name, "westeurope").properties
    assert home is not None
    assert home.status is not None
    assert home.status.display_status == "Ready"
    client.begin_delete(group, name, "eastus").result()
    client.begin_delete(group, name, "eastus").result()
    assert list(apps.replications) == ["japan"]
    with pytest.raises(ResourceNotFoundError):
        client.get(group, name, "eastus")
    with pytest.raises(HttpResponseError, match="home region"):
        client.begin_delete(group, name, "westeurope").result()


def test_a_region_has_one_replica(
    apps: Registry, registries: ContainerRegistryManagementClient
) -> None:
    """Neither the home region nor a replica's can be had again, and a replica does not move."""
    group, name, client = apps.resource_group, apps.name, registries.replications
    client.begin_create(group, name, "eastus", body("eastus")).result()
    again = client.begin_create(group, name, "eastus", body("eastus")).result()
    assert again.location == "eastus"
    for taken, location in (("home", "West Europe"), ("twin", "eastus"), ("eastus", "japaneast")):
        with pytest.raises(ResourceExistsError):
            client.begin_create(group, name, taken, body(location)).result()
    assert list(apps.replications) == ["eastus"]


def test_only_premium_registries_are_replicated(apps: Registry, arm: httpx.Client) -> None:
    """A Basic registry has no replication, not even at home."""
    apps.sku = "Basic"
    version = {"api-version": "2025-11-01"}
    path = f"{apps.id}/replications"
    refused = arm.put(f"{path}/eastus", params=version, json=body("eastus"))
    assert (refused.status_code, "Premium" in refused.text) == (400, True)
    assert arm.get(path, params=version).json() == {"value": []}
    assert arm.get(f"{path}/westeurope", params=version).status_code == 404
    apps.sku = "Premium"
    assert arm.put(f"{path}/eastus", params=version, json={}).status_code == 400


def test_a_replica_has_a_regional_endpoint(still: LocalCloud, apps: Registry) -> None:
    """The registry answers under every region's host, and only under those."""
    apps.replications["eastus"] = Replication("eastus", "eastus")
    found = {
        host: still.state.by_host(host)
        for host in ("myapps.westeurope.geo.azurecr.io", "MyApps.EastUS.geo.azurecr.io")
    }
    assert set(map(id, found.values())) == {id(apps)}
    assert still.state.by_host("myapps.japaneast.geo.azurecr.io") is None


def test_a_push_is_an_event_of_every_region(
    still: LocalCloud, apps: Registry, webhook: Webhook
) -> None:
    """Each event has its own id and location, and the same digest; the switch leaves one."""
    apps.replications["eastus"] = Replication("eastus", "eastus")
    apps.replications["japan"] = Replication("japan", "japaneast")
    still.eventgrid.subscribe(apps, "builds", webhook.url)
    digest = images.push(still, apps, "app", "1", "a")
    assert still.wait_idle(SECONDS)
    told = [call.body[0] for call in webhook.calls]

    regions = sorted(event["data"]["location"] for event in told)
    assert regions == ["eastus", "japaneast", "westeurope"]
    assert len({event["id"] for event in told}) == 3
    assert [event["id"] for event in told] == [event["data"]["id"] for event in told]
    assert {event["data"]["target"]["digest"] for event in told} == {digest}
    webhook.calls.clear()
    still.eventgrid.behaviour.replicas = False
    images.push(still, apps, "app", "1", "b")
    assert still.wait_idle(SECONDS)
    assert [call.body[0]["data"]["location"] for call in webhook.calls] == ["westeurope"]
