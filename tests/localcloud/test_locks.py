"""What keeps people out of resources: locks, access restrictions; and lists that are filtered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from localcloud.cloud import LocalCloud
from tests import images
from tests.armversions import name_version

SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
ROOT = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{ROOT}/resourceGroups/things"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one"
LOCK = f"{IDENTITY}/providers/Microsoft.Authorization/locks/keep"


@pytest.fixture(name="arm")
def _arm(still: LocalCloud) -> Iterator[httpx.Client]:
    still.create_group(SUBSCRIPTION, "things", "westeurope")
    token = still.tokens.issue(still.developer, "https://management.azure.com")
    with still.network.client(
        base_url="https://management.azure.com",
        headers={"Authorization": f"Bearer {token}"},
        event_hooks={"request": [name_version]},
    ) as client:
        yield client


def _make(arm: httpx.Client, place: str = IDENTITY, **tags: str) -> Any:  # noqa: ANN401 - JSON
    answer = arm.put(place, json={"location": "westeurope", "tags": tags})
    assert answer.is_success, answer.text
    return answer.json()


def test_a_lock_holds_what_it_is_on_what_is_below_and_what_it_is_in(arm: httpx.Client) -> None:
    """In Azure's words; once it is gone, all can be deleted."""
    _make(arm)
    assert arm.put(LOCK, json={"properties": {"level": "CanNotDelete"}}).status_code == 201
    listed = [arm.get(f"{s}/providers/Microsoft.Authorization/locks") for s in (ROOT, IDENTITY)]
    assert [[lock["name"] for lock in answer.json()["value"]] for answer in listed] == [
        ["keep"]
    ] * 2

    for place in (
        IDENTITY,
        GROUP,
        f"{IDENTITY}/providers/Microsoft.Authorization/roleAssignments/x",
    ):
        error = arm.delete(place).json()["error"]
        assert error["code"] == "ScopeLocked"
        assert f"following scope(s) are locked: '{IDENTITY}'" in error["message"]
    other = f"{IDENTITY}-two"
    _make(arm, other)
    assert arm.delete(other).status_code == 200

    assert arm.delete(LOCK).status_code == 200
    assert arm.delete(GROUP).status_code == 202


def test_resources_are_listed_by_group_and_tag(arm: httpx.Client) -> None:
    """As the Azure CLI asks for them; another filter is refused."""
    _make(arm, env="one")
    _make(arm, f"{IDENTITY}-two", env="two")

    def named(path: str, condition: str = "") -> list[str]:
        asked = {"$filter": condition} if condition else {}
        found = arm.get(path, params={"api-version": "2024-11-01", **asked}).json()["value"]
        return [entry["name"] for entry in found]

    assert named(f"{GROUP}/resources") == ["one", "one-two"]
    assert named(f"{ROOT}/resources", "resourceGroup eq 'THINGS'") == ["one", "one-two"]
    assert named(f"{ROOT}/resources", "resourceGroup eq 'none'") == []
    assert named(f"{ROOT}/resources", "tagName eq 'env' and tagValue eq 'two'") == ["one-two"]
    refused = arm.get(f"{ROOT}/resources", params={"$filter": "name eq 'x'"})
    assert refused.json()["error"]["code"] == "InvalidFilterInQueryString"


def test_providers_are_registered(arm: httpx.Client) -> None:
    """As they always are here."""
    place = f"{ROOT}/providers/Microsoft.Web"
    for answer in (arm.post(f"{place}/register"), arm.get(place)):
        assert answer.json()["registrationState"] == "Registered"


def test_a_topic_gets_an_identity_afterwards(still: LocalCloud, arm: httpx.Client) -> None:
    """By a PATCH, which leaves everything else as it is."""
    registry = images.registry(still, "mybase", 0)
    topic = f"{GROUP}/providers/Microsoft.EventGrid/systemTopics/theirs"
    kind = "Microsoft.ContainerRegistry.Registries"
    made = {"source": registry.id, "topicType": kind}
    arm.put(topic, json={"location": "westeurope", "tags": {"a": "b"}, "properties": made})
    assert "identity" not in arm.get(topic).json()

    told = arm.patch(topic, json={"identity": {"type": "SystemAssigned"}}).json()

    assert told["identity"]["principalId"]
    assert told["tags"] == {"a": "b"}
    assert told["properties"]["source"] == registry.id
    assert arm.patch(f"{topic}x", json={}).status_code == 404


def test_nobody_here_is_a_person_who_signed_in(still: LocalCloud) -> None:
    """Microsoft Graph's own words, and no traceback of the Azure CLI."""
    with still.network.client() as http:
        answer = http.get("https://graph.microsoft.com/v1.0/me")

    assert answer.status_code == 400
    assert "only valid with delegated" in answer.json()["error"]["message"]
