"""What the local cloud knows: its subscriptions' registries, their tasks and runs.

Plain mutable records behind one lock; the servers of the other modules read and write them.
"""

from __future__ import annotations

import secrets
import string
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

type Json = dict[str, Any]

_DIGITS = string.digits + string.ascii_lowercase


def azure_time(time: datetime) -> str:
    """Return a time as Azure writes it: seven digits of a second, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


@dataclass(slots=True)
class Task:
    """An ACR task. `properties` and `identity` are in ARM's wire form (api 2025-03-01-preview)."""

    name: str
    location: str
    properties: Json
    identity: Json | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Run:
    """A run.

    `properties` is in ARM's wire form; `request` is the body of scheduleRun; `log` grows while the
    run does.
    """

    run_id: str
    properties: Json
    request: Json = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


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


@dataclass(slots=True)
class Registry:
    """An Azure container registry, with what ARM tells of it."""

    subscription_id: str
    resource_group: str
    name: str
    location: str
    login_server: str
    sku: str = "Premium"
    admin_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    tasks: dict[str, Task] = field(default_factory=dict)  # by lower-case name
    runs: dict[str, Run] = field(default_factory=dict)  # by run id, oldest first
    # By lower-case name, without the home region.
    replications: dict[str, Replication] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The ARM resource id."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.ContainerRegistry/registries/{self.name}"
        )


class State:
    """Every registry of the cloud, found by resource id or by the host that a client names."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._registries: dict[str, Registry] = {}

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
