"""What Preflight must do, by requests to the local cloud's ARM; the e2e tests ask it the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from localcloud.state import Registry
from rebuilder.azure.identity import credential
from rebuilder.azure.preflight import ArmPreflight
from rebuilder.composition import preflight
from rebuilder.core.acr.access import READ_REGISTRY, allows
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.doctor.setup import FUNCTIONS
from rebuilder.errors import NotFound, Refused, TransientError
from rebuilder.settings import Settings
from tests import images
from tests.azurite import Azurite

ARM = "https://management.azure.com"
GROUP = f"/subscriptions/{images.SUBSCRIPTIONS[0]}/resourceGroups/rg-mybase"
IDENTITIES = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"


@pytest.fixture(name="base")
def _base(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Let this process be the developer, who owns a registry."""
    for name, value in cloud.environment(cloud.developer).items():
        monkeypatch.setenv(name, value)
    return images.registry(cloud, "mybase")


def settings(base: Registry, storage: str = "sqlite:unused") -> Settings:
    """Return settings with one registry for everything."""
    registry = RegistryId.parse(base.id)
    return Settings(frozenset({registry}), (registry,), storage)


@pytest.fixture(name="asked")
def _asked(base: Registry) -> Iterator[ArmPreflight]:
    made = preflight(settings(base))
    assert isinstance(made, ArmPreflight)
    yield made
    made.close()


def put(cloud: LocalCloud, place: str, version: str, **body: object) -> dict[str, object]:
    """Make a resource as the developer; return its properties."""
    token = cloud.tokens.issue(cloud.developer, f"{ARM}/")
    with cloud.network.client(timeout=60) as http:
        answer = http.put(
            f"{ARM}{place}?api-version={version}",
            json=body if "Services" in place else {"location": "westeurope", **body},
            headers={"Authorization": f"Bearer {token}"},
        )
    answer.raise_for_status()
    found: dict[str, object] = answer.json()["properties"]
    return found


def test_who_asks(cloud: LocalCloud, asked: ArmPreflight, base: Registry) -> None:
    """The token says it, and what the caller holds is asked without any right to read roles."""
    assert asked.caller() == cloud.developer.object_id
    assert asked.tokens() == []
    assert allows(asked.permissions(base.id, ""), READ_REGISTRY)
    assert allows(asked.permissions_below(base.id, ""), READ_REGISTRY)
    assert asked.permissions(base.id, cloud.function_app.object_id) == []


def test_an_identity_has_three_names(cloud: LocalCloud, asked: ArmPreflight) -> None:
    """Object id, client id and resource id lead to the same."""
    made = put(cloud, f"{IDENTITIES}/app", "2024-11-30")
    principal = str(made["principalId"])

    for name in (principal, str(made["clientId"]), f"{IDENTITIES}/app"):
        assert asked.principal(name) == principal
    with pytest.raises(NotFound):
        asked.principal(f"{GROUP}/providers/Microsoft.Web/sites/none")


def test_roles_below_a_resource_are_told_apart(
    cloud: LocalCloud, asked: ArmPreflight, base: Registry
) -> None:
    """A role at a part of a resource does not count for the resource."""
    principal = cloud.function_app.object_id
    cloud.roles.assign("Reader", principal, f"{base.id}/tasks/one")

    assert not allows(asked.permissions(base.id, principal), READ_REGISTRY)
    assert allows(asked.permissions_below(base.id, principal), READ_REGISTRY)


def test_a_container(cloud: LocalCloud, asked: ArmPreflight) -> None:
    """It is there or not; an account of another name is none."""
    place = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/kept"
    put(cloud, place, "2025-08-01", sku={"name": "Standard_LRS"}, kind="StorageV2", properties={})
    put(cloud, f"{place}/blobServices/default/containers/letters", "2025-08-01", properties={})

    assert asked.storage_account(images.SUBSCRIPTIONS[0], "KEPT") == place
    assert asked.storage_account(images.SUBSCRIPTIONS[0], "other") is None
    assert asked.has_container(place, "letters")
    assert not asked.has_container(place, "other")


def test_a_registry_that_nobody_listens_to(asked: ArmPreflight, base: Registry) -> None:
    """It has neither topics nor subscriptions, which is no error."""
    registry = RegistryId.parse(base.id)

    assert asked.topics(registry) == []
    assert asked.subscriptions(registry, []) == []


def test_pages(asked: ArmPreflight, base: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are followed to their end, but the token goes nowhere but to ARM."""
    following = [f"{ARM}/more", ""]

    def ask(url: str, path: str) -> dict[str, object]:
        assert url
        assert path
        return {"value": [{"name": url[-1:]}], "nextLink": following.pop(0)}

    monkeypatch.setattr(asked, "_ask", ask)
    assert len(asked.functions(base.id)) == 2
    following += ["https://elsewhere.example/more"]
    with pytest.raises(Refused, match=r"elsewhere\.example is not ARM"):
        asked.functions(base.id)


def test_looking_into_the_queues(base: Registry, azurite: Azurite) -> None:
    """Queues that were never made are no mistake; SQLite has nothing to look into."""
    for storage in (azurite.connection_string, "sqlite:unused"):
        made = preflight(settings(base, storage))
        made.peek()
        made.close()


def test_no_token(base: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each service that there is no token for is named."""
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    made = ArmPreflight(credential(""), settings(base, ""))
    refused = made.tokens()
    with pytest.raises(TransientError, match="az login"):
        made.caller()
    made.close()

    assert [service for service, _ in refused] == ["ARM", "the registries", "storage"]
    assert all(isinstance(error, TransientError) for _, error in refused)


def test_the_functions_that_are_looked_for() -> None:
    """They are those of the app that rebuilds, one file each; the page is another app's."""
    root = Path(__file__).resolve().parent.parent.parent / "functions"

    assert {path.stem for path in root.glob("[a-z]*.py")} - {"web"} == FUNCTIONS
