"""A cloud whose time only the test moves, clients of its ARM, and a webhook for its events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from azure.identity import ManagedIdentityCredential
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient
from starlette.applications import Starlette
from starlette.routing import Route

from localcloud.cloud import LocalCloud
from localcloud.network import Loop, Server
from localcloud.state import Registry
from tests import images
from tests.armversions import name_version
from tests.clocks import StoppedClock
from tests.webhook import Webhook

ARM = "https://management.azure.com"


@pytest.fixture(name="cloud")
def _developers_cloud(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> LocalCloud:
    """Let this process be the developer, who may do everything."""
    for name, value in cloud.environment(cloud.developer).items():
        monkeypatch.setenv(name, value)
    return cloud


@pytest.fixture(name="clock")
def _clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture(name="still")
def _still(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalCloud]:
    """Start a local cloud whose clock stands, and point this process at it."""
    with LocalCloud(tmp_path / "still", clock=clock, builder="embedded") as cloud:
        for name, value in cloud.environment(cloud.developer).items():
            monkeypatch.setenv(name, value)
        yield cloud


@pytest.fixture(name="apps")
def _apps(still: LocalCloud) -> Registry:
    return images.registry(still, "myapps")


@pytest.fixture(name="tasks")
def _tasks(apps: Registry) -> Iterator[ContainerRegistryTasksMgmtClient]:
    with (
        ManagedIdentityCredential() as identity,
        ContainerRegistryTasksMgmtClient(identity, apps.subscription_id) as client,
    ):
        yield client


@pytest.fixture(name="registries")
def _registries(apps: Registry) -> Iterator[ContainerRegistryManagementClient]:
    with (
        ManagedIdentityCredential() as identity,
        ContainerRegistryManagementClient(identity, apps.subscription_id) as client,
    ):
        yield client


@pytest.fixture(name="arm")
def _arm(still: LocalCloud) -> Iterator[httpx.Client]:
    """A client of ARM that sends nothing twice."""
    token = still.tokens.issue(still.developer, ARM)
    with still.network.client(
        base_url=ARM,
        headers={"Authorization": f"Bearer {token}"},
        event_hooks={"request": [name_version]},
    ) as client:
        yield client


@pytest.fixture(name="webhook")
def _webhook() -> Iterator[Webhook]:
    webhook = Webhook()
    loop = Loop("webhook")
    loop.start()
    methods = ["POST", "OPTIONS"]
    server = Server(loop, Starlette(routes=[Route("/hook", webhook.answer, methods=methods)]))
    server.start()
    webhook.url = f"http://127.0.0.1:{server.port}/hook?code=s3cret"
    yield webhook
    webhook.gate.set()
    loop.run(server.stop())
    loop.stop()
