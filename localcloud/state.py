"""What the local cloud knows: subscriptions, groups, identities, registries, their tasks and runs.

Plain mutable records behind one lock; the servers of the other modules read and write them.
"""

from __future__ import annotations

import itertools
import secrets
import string
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

type Json = dict[str, Any]

_NUMBERS = itertools.count(1)
_DIGITS = string.digits + string.ascii_lowercase


def azure_time(time: datetime) -> str:
    """Return a time as Azure writes it: seven digits of a second, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def acr_time(time: datetime) -> str:
    """Return a time as ACR Tasks write it, with its offset.

    Source: the answers recorded in Azure/azure-cli, `acr/tests/latest/recordings`.
    """
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0+00:00"


def told(wire: Json) -> Json:
    """Return what Azure tells of an object: it leaves out what is absent or empty."""
    return {name: value for name, value in wire.items() if value not in (None, "", {}, [])}


@dataclass(slots=True)
class Task:
    """An ACR task. `properties` and `identity` are in ARM's wire form (api 2025-03-01-preview).

    `number` grows from task to task, in the order in which they were made. `modified` is when ARM
    was last asked to write it; "" if ARM does not tell.
    """

    name: str
    location: str
    properties: Json
    identity: Json | None = None
    tags: dict[str, str] = field(default_factory=dict)
    number: int = field(default_factory=_NUMBERS.__next__)
    modified: str = ""


@dataclass(slots=True)
class Run:
    """A run.

    `properties` is in ARM's wire form; `request` is the body of scheduleRun, sent by the principal
    with the object id `caller`; `log` grows while the run does. `told` is what ARM shows as the
    error of a run that failed, in place of the local cloud's own reason.
    """

    run_id: str
    properties: Json
    request: Json = field(default_factory=dict)
    caller: str = ""
    log: list[str] = field(default_factory=list)
    told: str = ""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.properties["status"] not in ("Queued", "Started", "Running")


@dataclass(frozen=True, slots=True)
class TaskRun:
    """A task run: a resource that stands for a run.

    Attributes:
        name: Its name.
        request: The run request.
        tag: The forceUpdateTag; another one is another run.
        run_id: The run.
    """

    name: str
    request: Json
    tag: str | None
    run_id: str


@dataclass(slots=True)
class Replication:
    """A geo-replica of a registry.

    Attributes:
        name: Its name, which the Azure CLI takes from the region.
        location: Its region.
        properties: In ARM's wire form.
        tags: Tags.
    """

    name: str
    location: str
    properties: Json = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def platform_of(given: Json | None) -> Json:
    """Return what a run's platform is: Linux on amd64, unless somebody said otherwise.

    What a client wrote is given back in its case, as Azure does.
    Source: the answers recorded in Azure/azure-cli, `acr/tests/latest/recordings`.
    """
    said = {name: value for name, value in (given or {}).items() if value}
    return {"os": "Linux", "architecture": "amd64", **said}


@dataclass(slots=True)
class Registry:
    """An Azure container registry, with what ARM tells of it.

    `properties` is what a client set, in ARM's wire form; the service adds the rest.
    `created` is when it was made, in ARM's wire form.
    """

    subscription_id: str
    resource_group: str
    name: str
    location: str
    login_server: str
    sku: str = "Premium"
    properties: Json = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    created: str = ""
    admin_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    tasks: dict[str, Task] = field(default_factory=dict)  # by lower-case name
    runs: dict[str, Run] = field(default_factory=dict)  # by run id, oldest first
    task_runs: dict[str, TaskRun] = field(default_factory=dict)  # by lower-case name
    # By lower-case name, without the home region.
    replications: dict[str, Replication] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The ARM resource id."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.ContainerRegistry/registries/{self.name}"
        )

    @property
    def admin_enabled(self) -> bool:
        """Whether the admin user may sign in."""
        return bool(self.properties.get("adminUserEnabled"))

    @property
    def takes_arm_tokens(self) -> bool:
        """Whether a token for ARM signs in to the registry as well."""
        policies = self.properties.get("policies") or {}
        policy = policies.get("azureADAuthenticationAsArmPolicy") or {}
        return str(policy.get("status", "enabled")).lower() == "enabled"

    @property
    def abac(self) -> bool:
        """Whether repository roles count, and not AcrPull, AcrPush and AcrDelete."""
        return self.properties.get("roleAssignmentMode") == "AbacRepositoryPermissions"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that is only kept: a resource group, a user-assigned identity, an account.

    Attributes:
        id: Its ARM resource id.
        type: Its type, with its provider.
        location: Its region.
        properties: In ARM's wire form.
        tags: Its tags.
        more: What else stands beside them: sku, kind, identity.
    """

    id: str
    type: str
    location: str
    properties: Json
    tags: dict[str, str]
    more: Json = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name."""
        return self.id.rpartition("/")[2]


class State:
    """Everything there is, found by resource id or, for registries, by the host a client names."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.subscriptions: dict[str, str] = {}  # display names by id
        self._registries: dict[str, Registry] = {}
        self._resources: dict[str, Resource] = {}

    def put(self, resource: Resource) -> bool:
        """Keep a resource; tell whether it is new."""
        with self.lock:
            new = resource.id.lower() not in self._resources
            self._resources[resource.id.lower()] = resource
            return new

    def resource(self, resource_id: str) -> Resource | None:
        """The kept resource of this id, in any case."""
        with self.lock:
            return self._resources.get(resource_id.rstrip("/").lower())

    def resources(self, kind: str) -> list[Resource]:
        """Every kept resource of a type, oldest first."""
        with self.lock:
            return [r for r in self._resources.values() if r.type.lower() == kind.lower()]

    def top_level(self) -> list[Resource]:
        """Every kept resource that is no group and stands below none but a group, oldest first."""
        with self.lock:
            return [r for k, r in self._resources.items() if len(k.split("/")) == 9]  # noqa: PLR2004 - of its id

    def under(self, resource_id: str) -> list[Resource]:
        """Every kept resource below another, oldest first."""
        start = f"{resource_id.rstrip('/')}/".lower()
        with self.lock:
            return [found for key, found in self._resources.items() if key.startswith(start)]

    def every_resource(self) -> list[Resource]:
        """Every kept resource, oldest first."""
        with self.lock:
            return list(self._resources.values())

    def remove(self, resource_id: str) -> bool:
        """Remove a registry or a kept resource; tell whether it was there."""
        key = resource_id.rstrip("/").lower()
        with self.lock:
            found = self._registries.pop(key, None) or self._resources.pop(key, None)
            return found is not None

    def add(self, registry: Registry) -> None:
        """Add a registry; its resource id and login server must be free."""
        with self.lock:
            taken = [
                r.login_server
                for r in self._registries.values()
                if r.login_server.lower() == registry.login_server.lower()
            ]
            if taken or registry.id.lower() in self._registries:
                raise ValueError(f"the registry {registry.login_server} exists already")
            self._registries[registry.id.lower()] = registry

    def registries(self) -> list[Registry]:
        """Every registry, oldest first."""
        with self.lock:
            return list(self._registries.values())

    def by_id(self, resource_id: str) -> Registry | None:
        """The registry of this ARM resource id, in any case."""
        with self.lock:
            return self._registries.get(resource_id.rstrip("/").lower())

    def next_run_id(self, registry: Registry) -> str:
        """The next run's id: two letters of the registry and a number in base 36, as ACR's are.

        To be called with the lock held until the run is in the registry.
        """
        letter = string.ascii_lowercase[self.registries().index(registry) % 26]
        number, text = len(registry.runs) + 1, ""
        while number:
            number, digit = divmod(number, len(_DIGITS))
            text = _DIGITS[digit] + text
        return f"c{letter}{text}"

    def by_host(self, host: str) -> Registry | None:
        """The registry behind a login server or regional endpoint, in any case, port or none."""
        name = host.lower().split(":")[0]
        label, _, rest = name.partition(".")
        with self.lock:
            for registry in self._registries.values():
                login = registry.login_server.lower()
                own, _, suffix = login.partition(".")
                replicas = registry.replications.values()
                regions = (registry.location, *(replica.location for replica in replicas))
                regional = {f"{region.lower()}.geo.{suffix}" for region in regions}
                if name == login or (label == own and rest in regional):
                    return registry
        return None
