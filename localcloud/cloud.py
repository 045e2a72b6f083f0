"""The whole cloud of one process: start it, point clients at it, stop it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
import uuid
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal, Self

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from localcloud import blobs, github, graph, insights, scm, vaults
from localcloud.admin import Admin
from localcloud.arm import Arm
from localcloud.arm.app import ArmApp
from localcloud.arm.kept import GROUP_TYPE
from localcloud.arm.record import RECORD, recorder
from localcloud.blobs import Blobs
from localcloud.builds import buildah, hub
from localcloud.builds.buildah import BuildahBuilder
from localcloud.builds.builder import Builder
from localcloud.builds.embedded import EmbeddedBuilder
from localcloud.builds.scheduler import Scheduler
from localcloud.clock import Clock
from localcloud.data_roles import DATA_ROLES
from localcloud.directory import Directory, Principal
from localcloud.eventgrid import DeadLetterContainer, EventGrid, QueuePlace
from localcloud.functionapps import FunctionApps
from localcloud.github import github_app
from localcloud.graph import graph_app
from localcloud.identity import Behaviour as IdentityBehaviour
from localcloud.identity import Identities, identity_app
from localcloud.insights import Insights
from localcloud.nativetrigger import NativeTrigger
from localcloud.network import Network
from localcloud.registrations import Registrations
from localcloud.registry import RegistryService
from localcloud.registry.content import HUB_HOSTS
from localcloud.registry.service import registry_app
from localcloud.roles import Permission, Role, Roles
from localcloud.state import Json, Registry, Resource, Run, State, azure_time
from localcloud.storage import Storage, StorageOperation
from localcloud.storage.service import HOSTS as STORAGE_HOSTS
from localcloud.tokens import Credential, Tokens, new_key
from localcloud.vaults import Vaults

# Where tools/azurite.py puts Node.js on a machine that has none.
_OWN_NODE = Path(__file__).resolve().parent.parent / ".tools" / "node" / "bin"

type BuilderName = Literal["auto", "buildah", "embedded"]


class LocalCloud:
    """Azure's side: ARM, identity endpoint, registries, Event Grid, builds.

    Args:
        folder: For the CA bundle and the builders' work; made if absent.
        clock: Cloud time.
        builder: Who builds; auto takes buildah where it can run steps.
        node: A Node.js program for Docker Hub's library/node, so that what is built on it runs.

    Attributes:
        admin_url: Where the admin API is, once started: GET / describes every switch.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock | None = None,
        builder: BuilderName = "auto",
        node: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.clock = clock or Clock()
        self._node = node
        self.state = State()
        self.network = Network(folder)
        self.directory = Directory()
        self.registrations = Registrations()
        self.roles = Roles()
        for role in DATA_ROLES:
            self.roles.define(role)
        self.tokens = Tokens(self.clock, self.directory, _tenants_key())
        self.eventgrid = EventGrid(self.clock)
        self.registry = RegistryService(
            self.state,
            self.clock,
            self.tokens,
            self.roles,
            self.eventgrid.publish,
            self._tag_moved,
        )
        self.blobs = Blobs()
        self.registry.share = self._share
        self.storage = Storage(
            self.state, self.clock, self.tokens, self.roles, self.network, folder
        )
        self.apps = FunctionApps(self.network, self.tokens, self._enrol, folder / "apps")
        self.insights = Insights(self.tokens, self.roles)
        self.vaults = Vaults(self.state, self.tokens, self.roles)
        self.eventgrid.find_function = self.apps.event_address
        self.eventgrid.put_blob = self._put_letters
        self.eventgrid.put_message = self._put_message
        self.builder = _choose(builder)
        made: Builder = (
            BuildahBuilder(self.network)
            if self.builder == "buildah"
            else EmbeddedBuilder(self.network)
        )
        self.scheduler = Scheduler(
            self.state,
            self.clock,
            self.registry,
            self.directory,
            self.blobs,
            made,
            self.network,
            self.tokens,
            folder,
        )
        self.native_trigger = NativeTrigger(self.state, self.clock, self.scheduler.submit)
        self.arm = Arm(
            self.state,
            self.clock,
            self.tokens,
            self.directory,
            self.roles,
            self.scheduler,
            self.blobs,
            self.eventgrid,
            self.registry,
            self.storage,
            self.apps,
            self.insights,
        )
        if path := os.environ.get(RECORD):
            self.arm.witnesses.append(recorder(Path(path)))
        self._arm_app = ArmApp(self.arm, self.network.drop_connections)
        self.developer = self.directory.create("developer")
        self.function_app = self.directory.create("function app")
        self._headers = {
            principal.object_id: secrets.token_urlsafe(24)
            for principal in (self.developer, self.function_app)
        }
        self._identities: dict[str, Identities] = {}
        self._identity_url = ""
        self.identity_behaviour = IdentityBehaviour()
        areas: dict[str, object] = {
            "arm": self.arm.behaviour,
            "runs": self.scheduler.behaviour,
            "limits": self.arm.throttle.limits,
            "import": self.arm.imports,
            "events": self.eventgrid.behaviour,
            "native_trigger": self.native_trigger.behaviour,
            "identity": self.identity_behaviour,
            "hub": self.registry.hub_behaviour,
            "registry": self.registry.behaviour,
        }
        self._admin = Admin(self.arm, areas, self.eventgrid.settle, self.network.drop_connections)
        self.admin_url = ""

    def start(self) -> None:
        """Start every server."""
        self.network.mount("management.azure.com", self._arm_app.app)
        for host in (blobs.HOST, blobs.LAYERS):
            self.network.mount(host, self.blobs.app)
        self.network.mount(graph.HOST, graph_app(self.directory, self.tokens, self.registrations))
        self.network.mount(github.HOST, github_app(self.scheduler.contexts))
        registries = registry_app(self.registry)
        for host in ("*.azurecr.io", "*.azurecr.cn", "*.azurecr.us", *HUB_HOSTS):
            self.network.mount(host, registries)
        for host in STORAGE_HOSTS:
            self.network.mount(host, self.storage.app)
        self.network.mount(insights.HOST, self.insights.app)
        self.network.mount(vaults.HOST, self.vaults.app)
        self.network.mount(scm.HOST, scm.scm_app(self.arm))
        self.network.mount(scm.SITE_HOST, scm.sites_app(self.arm))
        self.network.start()
        self.eventgrid.start()
        self.native_trigger.start()
        for principal in (self.developer, self.function_app):
            self._identities[self._headers[principal.object_id]] = Identities(principal)
        endpoint = identity_app(self.tokens, self.clock, self._identities, self.identity_behaviour)
        self._identity_url = self.network.serve(endpoint)
        self.admin_url = self.network.serve(self._admin.app)
        hub.seed(self.registry, self._node)

    def stop(self) -> None:
        """Stop every server and process; runs that are not over are lost."""
        self.apps.stop()
        self.eventgrid.stop()
        self.native_trigger.stop()
        self.scheduler.stop()
        self.storage.stop()
        self.network.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def environment(self, principal: Principal | None = None) -> dict[str, str]:
        """Return the variables with which a process sees this cloud.

        Args:
            principal: Who the process is: `function_app`, if not said, or `developer`.
        """
        who = principal or self.function_app
        return {
            **self.network.environment(),
            "IDENTITY_ENDPOINT": f"{self._identity_url}/msi/token",
            "IDENTITY_HEADER": self._headers[who.object_id],
            "LOCALCLOUD_ADMIN": self.admin_url,
        }

    def create_subscription(self, subscription_id: str, name: str) -> None:
        """Create a subscription, of which the developer is Owner, if it is not there."""
        if subscription_id.lower() not in self.state.subscriptions:
            self.state.subscriptions[subscription_id.lower()] = name
            scope = f"/subscriptions/{subscription_id}"
            self.roles.assign("Owner", self.developer.object_id, scope)

    def create_group(self, subscription_id: str, name: str, location: str) -> None:
        """Create a resource group, with its subscription, if they are not there."""
        self.create_subscription(subscription_id, subscription_id)
        group = f"/subscriptions/{subscription_id}/resourceGroups/{name}"
        if self.state.resource(group) is None:
            self.state.put(Resource(group, GROUP_TYPE, location, {}, {}))

    def create_registry(
        self,
        *,
        subscription_id: str,
        resource_group: str,
        name: str,
        location: str,
        login_server: str | None = None,
        **properties: Json | str | bool,
    ) -> Registry:
        """Create a registry, with its subscription and group if they are not there.

        Args:
            subscription_id: Its subscription.
            resource_group: Its group.
            name: Its name.
            location: Its region.
            login_server: Its host; one of its own makes it a registry with a DNL name.
            properties: In ARM's wire form; unless they say otherwise, the admin user is enabled.
        """
        self.create_group(subscription_id, resource_group, location)
        host = login_server or f"{name.lower()}.azurecr.io"
        settings = {"adminUserEnabled": True, **properties}
        registry = Registry(
            subscription_id,
            resource_group,
            name,
            location,
            host,
            properties=settings,
            created=azure_time(self.clock.now()),
        )
        self.state.add(registry)
        return registry

    def authorize_rebuilder(
        self, bases: Iterable[Registry], tasks: Iterable[Registry], *, proof: bool = False
    ) -> None:
        """Give the function app what it needs and no more: see docs/operations.md.

        Args:
            bases: The base registries.
            tasks: The task registries.
            proof: Whether it may also read the images that tasks push, for which it is not needed:
                then explanations can say what a rebuilt image stands on.
        """
        role = rebuilder_role()
        self.roles.define(role)
        read, run = list(bases), list(tasks)
        for registry in (*read, *run):
            self.roles.assign(role.name, self.function_app.object_id, registry.id)
        for registry in (*read, *(run if proof else ())):
            puller = "Container Registry Repository Reader" if registry.abac else "AcrPull"
            self.roles.assign(puller, self.function_app.object_id, registry.id)

    def map_context(self, url: str, folder: Path, token: str | None = None) -> None:
        """Serve a build context's address; see Scheduler."""
        self.scheduler.map_context(url, folder, token)

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

    def await_run(self, registry_id: str, task: str, before: str, seconds: float) -> Run | None:
        """Wait until a task's newest run is another than `before`, and over; None if it is not."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            newest = self.newest_run(registry_id, task)
            if newest is not None and newest.run_id != before and newest.over:
                return newest
            time.sleep(0.1)
        return None

    def newest_run(self, registry_id: str, task: str) -> Run | None:
        """Return a task's newest run; None if it has none."""
        registry = self.state.by_id(registry_id)
        with self.state.lock:
            runs = list(registry.runs.values()) if registry else []
        mine = [run for run in runs if str(run.properties.get("task")).lower() == task.lower()]
        return mine[-1] if mine else None

    def storage_operations(self) -> list[StorageOperation]:
        """Return what was done in storage accounts so far, oldest first."""
        return self.storage.operations()

    def _enrol(self, resource_id: str, identities: Identities) -> tuple[str, str]:
        """Let a resource ask the identity endpoint for tokens; return its address and secret."""
        if identities.system is None and not identities.user_assigned:
            return "", ""
        header = self._headers.setdefault(resource_id.lower(), secrets.token_urlsafe(24))
        self._identities[header] = identities
        return f"{self._identity_url}/msi/token", header

    def _put_letters(self, place: DeadLetterContainer, blob: str, content: bytes) -> None:
        """Write dead letters as the topic's identity does."""
        account = place.account_id.rpartition("/")[2]
        headers = {**self._storage_headers(place.principal_id), "x-ms-blob-type": "BlockBlob"}
        url = f"https://{account}.blob.core.windows.net/{place.container}/{blob}"
        with self.network.client(timeout=60) as http:
            http.put(url, content=content, headers=headers).raise_for_status()

    def _put_message(self, place: QueuePlace, text: str) -> int:
        """Put a message into a queue as the topic's identity does; return the answer's status."""
        account = place.account_id.rpartition("/")[2]
        url = f"https://{account}.queue.core.windows.net/{place.queue}/messages"
        with self.network.client(timeout=60) as http:
            return http.post(
                url,
                params={"messagettl": str(place.seconds)},
                content=f"<QueueMessage><MessageText>{text}</MessageText></QueueMessage>",
                headers=self._storage_headers(place.principal_id),
            ).status_code

    def _storage_headers(self, principal_id: str) -> dict[str, str]:
        principal = self.directory.by_object_id(principal_id)
        if principal is None:
            raise RuntimeError(f"the identity {principal_id} is gone")
        token = Credential(self.tokens, principal).get_token("https://storage.azure.com/.default")
        return {"Authorization": f"Bearer {token.token}", "x-ms-version": "2023-11-03"}

    def _share(self, path: str, data: bytes) -> str:
        """Return an address at which a registry's blob can be read for a while."""
        return self.blobs.share(path, lambda: (data, ""), blobs.LAYERS)

    def _tag_moved(self, registry: Registry, repository: str, tag: str, digest: str) -> None:
        self.native_trigger.pushed(registry, repository, tag, digest)


@cache
def _tenants_key() -> RSAPrivateKey:
    """Return the key of the one tenant that the clouds of a process are; slow to make."""
    return new_key()


def rebuilder_role() -> Role:
    """Return the custom role of infra/rebuilder-role.json."""
    text = (Path(__file__).parent.parent / "infra" / "rebuilder-role.json").read_text("utf-8")
    given = json.loads(text)
    permission = Permission(
        *(tuple(given[kind]) for kind in ("Actions", "NotActions", "DataActions", "NotDataActions"))
    )
    key = str(uuid.uuid5(uuid.NAMESPACE_URL, given["Name"]))
    return Role(key, given["Name"], given["Description"], (permission,), built_in=False)


def node_for_images(builder: BuilderName = "auto") -> Path | None:
    """Return a Node.js program that images may hold; None if nothing could run it.

    Args:
        builder: Who builds; the embedded builder's images are not run.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), str(_OWN_NODE)])
    node = shutil.which("node", path=path)
    return Path(node) if node and _choose(builder) == "buildah" else None


def _choose(builder: BuilderName) -> Literal["buildah", "embedded"]:
    if builder == "auto":
        # Without a shell in the base image, buildah could not run any step.
        able = buildah.usable() and hub.static_busybox() is not None
        return "buildah" if able else "embedded"
    return builder
