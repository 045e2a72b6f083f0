"""The whole system: local cloud, Functions host, our functions, either store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from localcloud.arm.record import RECORD
from localcloud.cloud import LocalCloud
from localcloud.eventgrid import Schema, Subscription
from localcloud.functionshost import FunctionsHost, Invocation
from localcloud.state import Registry
from rebuilder.azure._clients import TIMEOUTS
from rebuilder.azure.storage.steering import CONTAINER
from rebuilder.composition import compose, release
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.rebuilds.messages import QUEUES
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.explain import Explanation, explain
from tests import images
from tests.azurite import Azurite
from tests.openapi.judge import differences, recorded
from tests.patience import SECONDS, until

_NEVER_DUE = datetime(2026, 1, 1, 12, 7, 7, tzinfo=UTC)
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Azure's clients wait for a busy machine; what is not there answers at once, or never."""
    monkeypatch.setitem(TIMEOUTS, "connection_timeout", SECONDS / 4)


@pytest.fixture(name="recorded")
def _recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hold what ARM was asked and told by the documents' facts, when a test is over.

    For tests whose tasks are as ARM would have taken them.
    """
    path = tmp_path / "arm-record"
    monkeypatch.setenv(RECORD, str(path))
    yield
    exchanges = recorded(path) if path.exists() else []
    assert differences(exchanges) == []


class World:
    """A cloud with one base registry and two application registries, and the app running."""

    def __init__(
        self,
        cloud: LocalCloud,
        storage: str,
        folder: Path,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.cloud = cloud
        self.base = images.registry(cloud, "mybase", 0)
        self.apps = images.registry(cloud, "myapps", 0)
        self.others = images.registry(cloud, "theirapps", 1)
        cloud.authorize_rebuilder([self.base], [self.apps, self.others])
        # A busy machine is no reason to tell an event twice.
        cloud.eventgrid.answer_seconds = SECONDS
        self.invocations: list[Invocation] = []
        self._folder = folder
        self._storage = storage
        self._by_hope = list(QUEUES)
        self.settings = {
            "AzureWebJobsStorage": storage,
            "REBUILDER_BASE_REGISTRIES": self.base.id,
            "REBUILDER_TASK_REGISTRIES": f"{self.apps.id}, {self.others.id}",
            "REBUILDER_BUILD_ATTEMPTS": "2",
            "REBUILDER_TUNING": "track_interval=1s; retry_build_wait=1s",
            "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:00.3",
            **(more or {}),
        }
        # The clock of the timers stands: they run where a test runs them, not at a full hour.
        self.host = FunctionsHost(
            ROOT,
            self.settings,
            data=folder,
            on_invocation=self.invocations.append,
            now=lambda: _NEVER_DUE,
        )

    def subscribe(
        self, registry: Registry | None = None, schema: Schema = "EventGridSchema"
    ) -> Subscription:
        """Let a registry's events reach image_pushed."""
        return self.cloud.eventgrid.subscribe(
            registry or self.base, schema, self.host.eventgrid_url("image_pushed"), schema=schema
        )

    def push(self, text: str, reference: str = "9", repository: str = "images/node") -> str:
        """Push an image to the base registry; return its digest."""
        return images.push(self.cloud, self.base, repository, reference, text)

    def task(self, registry: Registry, name: str, digest: str, **properties: object) -> TaskId:
        """Create a task that was last built on images/node:9 at a digest, and can be run."""
        folder = self._folder / "context"
        folder.mkdir(exist_ok=True)
        (folder / "Dockerfile").write_text("FROM mybase.azurecr.io/images/node:9\nLABEL a=b\n")
        self.cloud.map_context("https://github.com/contoso/app.git", folder)
        credentials = {"customRegistries": {"mybase.azurecr.io": {"identity": "[system]"}}}
        recorded = [images.dependency("mybase.azurecr.io/images/node:9", digest)]
        made = images.task(registry, name, recorded, **{"credentials": credentials, **properties})
        images.identify(self.cloud, registry, made, ("AcrPull", self.base))
        return TaskId(RegistryId.parse(registry.id), name)

    def unconcerned(self, registry: Registry, name: str, image: str) -> TaskId:
        """Create a task that is built on another image, from a context that nobody serves."""
        made = images.task(registry, name, [images.dependency(image)])
        made.properties["step"]["contextPath"] = "https://github.com/contoso/other.git"
        return TaskId(RegistryId.parse(registry.id), name)

    def settle(self) -> None:
        """Wait until every event and every message has been worked off."""
        quiet = 0

        def twice() -> bool:
            nonlocal quiet
            idle = self.cloud.wait_idle(SECONDS)
            quiet = quiet + 1 if idle and not self._waits(where) else 0
            return quiet > 1

        with self._queues() as where:
            until(twice, "rest")

    def _queues(self) -> AbstractContextManager[sqlite3.Connection | QueueServiceClient]:
        if self._storage.startswith("sqlite:"):
            return closing(sqlite3.connect(self._storage.removeprefix("sqlite:")))
        return QueueServiceClient.from_connection_string(self._storage)

    def _waits(self, where: sqlite3.Connection | QueueServiceClient) -> bool:
        """Tell whether there is a message in any queue, a hidden or delayed one too."""
        if isinstance(where, sqlite3.Connection):
            return where.execute("SELECT 1 FROM messages LIMIT 1").fetchone() is not None
        for queue in self._by_hope:
            try:
                properties = where.get_queue_client(queue).get_queue_properties()
            except ResourceNotFoundError:
                continue
            if properties.approximate_message_count:
                # What is found is looked for there first, as it is waited for.
                self._by_hope.sort(key=lambda name: name != queue)
                return True
        return False

    @property
    def context(self) -> Context:
        """The product, as its command sees it."""
        return compose(self.settings)

    def explain(self, image: str) -> Explanation:
        """Ask the product about an image."""
        return explain(self.context, ImageReference.parse(image))

    def failed(self) -> list[Invocation]:
        """Return the invocations that raised."""
        return [invocation for invocation in self.invocations if not invocation.result.ok]


@pytest.fixture(name="storage", params=["sqlite", "azurite"])
def _storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'rebuilder.db'}"
    azurite: Azurite = request.getfixturevalue("azurite")
    _empty(azurite.connection_string)
    return azurite.connection_string


def _empty(connection_string: str) -> None:
    """Remove what another test left in the shared Azurite."""
    with QueueServiceClient.from_connection_string(connection_string) as queues:
        for queue in queues.list_queues():
            queues.delete_queue(queue)
    with (
        BlobServiceClient.from_connection_string(connection_string) as blobs,
        suppress(ResourceNotFoundError),
    ):
        blobs.delete_container(CONTAINER)
    with TableServiceClient.from_connection_string(connection_string) as tables:
        for table in tables.list_tables():
            tables.delete_table(table.name)


@pytest.fixture(name="world")
def _world(cloud: LocalCloud, storage: str, tmp_path: Path) -> Iterator[World]:
    world = World(cloud, storage, tmp_path)
    world.host.start()
    yield world
    world.host.stop()
    release()
