"""What a DeadEventStore must do; run on Azure Blob Storage (Azurite)."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

from rebuilder._unconfigured import NoDeadEvents
from rebuilder.azure.storage import dead_events
from rebuilder.azure.storage.dead_events import BlobDeadEvents
from rebuilder.composition import compose, release
from rebuilder.errors import TransientError
from rebuilder.ports.dead_letters import DeadEvents
from rebuilder.settings import Settings
from tests.azurite import Azurite

_REGISTRY = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/mybase"
)


@pytest.fixture(name="container")
def _container(azurite: Azurite) -> Iterator[ContainerClient]:
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        yield service.get_container_client(f"c-{uuid.uuid4().hex}")


def settings(storage: str, container: str, account: str = "devstoreaccount1") -> Settings:
    """Return settings with a place for dead letters."""
    return Settings.from_env(
        {
            "AzureWebJobsStorage": storage,
            "REBUILDER_BASE_REGISTRIES": _REGISTRY,
            "REBUILDER_TASK_REGISTRIES": _REGISTRY,
            "REBUILDER_DEAD_LETTERS": f"https://{account}.blob.core.windows.net/{container}",
        }
    )


def test_blobs_are_read_until_they_are_forgotten(container: ContainerClient) -> None:
    """Whatever folder they are in, each comes with its bytes until it is deleted, safely twice."""
    container.create_container()
    container.upload_blob("TOPIC/SUB/2026/1/1/1/a.json", b"[1]")
    container.upload_blob("b.json", "[\u00fc]".encode())
    store = BlobDeadEvents(container)

    assert sorted(store.read(), key=lambda blob: blob.name) == [
        DeadEvents("TOPIC/SUB/2026/1/1/1/a.json", b"[1]"),
        DeadEvents("b.json", "[\u00fc]".encode()),
    ]
    store.forget("b.json")
    store.forget("b.json")
    assert [blob.name for blob in store.read()] == ["TOPIC/SUB/2026/1/1/1/a.json"]


def test_so_many_blobs_come_some_at_a_time(container: ContainerClient) -> None:
    """No more are held in memory than one round needs, and forgetting them brings the others."""
    container.create_container()
    for number in range(dead_events._SOME + 3):
        container.upload_blob(f"{number:03}.json", b"[]")
    store = BlobDeadEvents(container)
    first = store.read()
    for blob in first:
        store.forget(blob.name)

    assert len(first) == dead_events._SOME
    assert [blob.name for blob in store.read()] == ["032.json", "033.json", "034.json"]


def test_a_missing_container_holds_nothing(
    container: ContainerClient, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no error, for there may be no dead letter yet, and it is said."""
    with caplog.at_level(logging.WARNING):
        assert BlobDeadEvents(container).read() == []

    assert "there is no container" in caplog.text


def test_a_blob_that_goes_meanwhile_is_left_out(
    container: ContainerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two collections at once do not stop each other."""
    container.create_container()
    container.upload_blob("here.json", b"[]")
    monkeypatch.setattr(container, "list_blob_names", lambda: iter(["gone.json", "here.json"]))

    assert BlobDeadEvents(container).read() == [DeadEvents("here.json", b"[]")]


def test_a_store_that_cannot_be_reached_is_transient() -> None:
    """Both calls raise what is tried again."""
    nowhere = (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;"
        "BlobEndpoint=http://127.0.0.1:1/a;"
    )
    with BlobServiceClient.from_connection_string(nowhere, retry_total=0) as service:
        store = BlobDeadEvents(service.get_container_client("c"))
        with pytest.raises(TransientError):
            store.read()
        with pytest.raises(TransientError):
            store.forget("x")


def test_the_account_of_the_connection_string_needs_no_identity(
    azurite: Azurite, container: ContainerClient
) -> None:
    """An address in that account is reached as the connection string says."""
    container.create_container()
    container.upload_blob("a.json", b"[]")
    name = str(container.container_name)
    store = BlobDeadEvents.from_settings(settings(azurite.connection_string, name))

    assert [blob.name for blob in store.read()] == ["a.json"]
    store.close()


@pytest.mark.parametrize("storage", ["sqlite:x.db", "UseDevelopmentStorage=true"])
def test_another_account_is_shown_the_identity(storage: str) -> None:
    """Its address is taken as it is, with a token and without anybody's key."""
    store = BlobDeadEvents.from_settings(settings(storage, "letters", "elsewhere"))

    assert store._container.url == "https://elsewhere.blob.core.windows.net/letters"
    assert not hasattr(store._container.credential, "account_key")
    store.close()


def test_the_setting_decides_whether_there_is_a_store() -> None:
    """Without a container's address there is none, and nothing to read."""
    named = settings("UseDevelopmentStorage=true", "letters")
    plain = {
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "REBUILDER_BASE_REGISTRIES": _REGISTRY,
        "REBUILDER_TASK_REGISTRIES": _REGISTRY,
    }
    store = compose({**plain, "REBUILDER_DEAD_LETTERS": named.dead_letters}).dead_events
    nowhere = compose(plain).dead_events

    assert isinstance(store, BlobDeadEvents)
    assert store._container.url == "http://127.0.0.1:10000/devstoreaccount1/letters"
    assert isinstance(nowhere, NoDeadEvents)
    assert nowhere.read() == []
    nowhere.forget("x")
    release()
