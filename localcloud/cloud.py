"""The whole cloud of one process: start it, point clients at it, stop it."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Literal, Self

from localcloud import blobs
from localcloud.admin import Admin
from localcloud.arm import Arm
from localcloud.blobs import Blobs
from localcloud.builds import buildah, hub
from localcloud.builds.buildah import BuildahBuilder
from localcloud.builds.embedded import EmbeddedBuilder
from localcloud.builds.job import Builder
from localcloud.builds.scheduler import Scheduler
from localcloud.clock import Clock
from localcloud.eventgrid import EventGrid
from localcloud.identity import identity_app
from localcloud.nativetrigger import NativeTrigger
from localcloud.network import Network
from localcloud.registry import RegistryService
from localcloud.registry.service import HUB_HOSTS
from localcloud.state import Registry, State
from localcloud.tokens import Principal, Tokens

type BuilderName = Literal["auto", "buildah", "embedded"]


class LocalCloud:
    """Azure's side: ARM, identity endpoint, registries, Event Grid, builds.

    Args:
        folder: For the CA bundle and the builders' work; made if absent.
        clock: Cloud time.
        builder: Who builds; auto takes buildah where it can run steps.

    Attributes:
        admin_url: Where the admin API is, once started: GET / describes every switch.
    """

    def __init__(
        self, folder: Path, *, clock: Clock | None = None, builder: BuilderName = "auto"
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.clock = clock or Clock()
        self.state = State()
        self.network = Network(folder)
        self.tokens = Tokens(self.clock)
        self.eventgrid = EventGrid(self.clock)
        self.registry = RegistryService(
            self.state, self.clock, self.tokens, self.eventgrid.publish, self._tag_moved
        )
        self.blobs = Blobs()
        self.builder = _choose(builder)
        made: Builder = (
            BuildahBuilder(self.network)
            if self.builder == "buildah"
            else EmbeddedBuilder(self.network)
        )
        self.scheduler = Scheduler(self.state, self.clock, self.registry, self.blobs, made, folder)
        self.native_trigger = NativeTrigger(self.state, self.clock, self.scheduler.submit)
        self.arm = Arm(
            self.state,
            self.clock,
            self.tokens,
            self.scheduler,
            self.blobs,
            self.registry,
            self.network.drop_connections,
        )
        self.function_identity = Principal.new("function app")
        self._identity_header = secrets.token_urlsafe(24)
        self._identity_url = ""
        areas: dict[str, object] = {
            "arm": self.arm.behaviour,
            "limits": self.arm.throttle.limits,
            "import": self.arm.imports,
            "events": self.eventgrid.behaviour,
            "native_trigger": self.native_trigger.behaviour,
        }
        self._admin = Admin(self.arm, areas, self.eventgrid.settle, self.network.drop_connections)
        self.admin_url = ""

    def start(self) -> None:
        """Start every server."""
        self.network.mount("management.azure.com", self.arm.app)
        self.network.mount(blobs.HOST, self.blobs.app)
        for host in ("*.azurecr.io", "*.azurecr.cn", "*.azurecr.us", *HUB_HOSTS):
            self.network.mount(host, self.registry.app)
        self.network.start()
        self.eventgrid.start()
        self.native_trigger.start()
        app = identity_app(
            self.tokens, self.clock, self.function_identity, (), self._identity_header
        )
        self._identity_url = self.network.serve(app)
        self.admin_url = self.network.serve(self._admin.app)
        hub.seed(self.registry)

    def stop(self) -> None:
        """Stop every server; runs that are not over are lost."""
        self.eventgrid.stop()
        self.native_trigger.stop()
        self.scheduler.stop()
        self.network.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def environment(self) -> dict[str, str]:
        """Return the variables with which a process sees this cloud as the function app does."""
        return {
            **self.network.environment(),
            "IDENTITY_ENDPOINT": f"{self._identity_url}/msi/token",
            "IDENTITY_HEADER": self._identity_header,
            "LOCALCLOUD_ADMIN": self.admin_url,
        }

    def create_registry(
        self,
        *,
        subscription_id: str,
        resource_group: str,
        name: str,
        location: str,
        login_server: str | None = None,
    ) -> Registry:
        """Create a registry; a login server of its own makes it one with a DNL name."""
        host = login_server or f"{name.lower()}.azurecr.io"
        registry = Registry(subscription_id, resource_group, name, location, host)
        self.state.add(registry)
        return registry

    def map_context(self, url: str, folder: Path) -> None:
        """Serve a build context's address, such as a GitHub repository, from a folder."""
        self.scheduler.map_context(url, folder)

    def wait_idle(self, seconds: float) -> bool:
        """Wait until no event is under way and no run goes on; tell whether that came in time."""
        deadline = time.monotonic() + seconds

        def left() -> float:
            return max(0.0, deadline - time.monotonic())

        idle = self.scheduler.wait_idle(left())
        # A run's push may start another run, some time later.
        while idle and self.native_trigger.waiting:
            idle = self.native_trigger.wait_idle(left()) and self.scheduler.wait_idle(left())
        # A run's push is an event, so the events come last.
        return idle and self.eventgrid.wait_idle(left())

    def _tag_moved(self, registry: Registry, repository: str, tag: str, digest: str) -> None:
        self.native_trigger.pushed(registry, repository, tag, digest)


def _choose(builder: BuilderName) -> Literal["buildah", "embedded"]:
    if builder == "auto":
        # Without a shell in the base image, buildah could not run any step.
        able = buildah.usable() and hub.static_busybox() is not None
        return "buildah" if able else "embedded"
    return builder
