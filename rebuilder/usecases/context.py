"""What every use case is given."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from msgspec import Struct, field

from rebuilder._unconfigured import NoReceivers, NoSteering
from rebuilder.core.acr.registries import (
    ForeignRegistry,
    PushedRegistry,
    RegistryId,
    canonical_host,
)
from rebuilder.core.times import Clock
from rebuilder.errors import PermanentError
from rebuilder.ports.acr import Access, Images, Tasks
from rebuilder.ports.bookmarks import Bookmarks
from rebuilder.ports.dead_letters import DeadEventStore, DeadLetters
from rebuilder.ports.foreign import ForeignRegistries
from rebuilder.ports.index import DependencyIndex
from rebuilder.ports.ledger import Ledger
from rebuilder.ports.queue import WorkQueue
from rebuilder.ports.receivers import Receivers
from rebuilder.ports.sources import BuildSources
from rebuilder.ports.steering import Steering
from rebuilder.settings import Settings
from rebuilder.usecases.messages.lines import Lines
from rebuilder.usecases.steering.in_force import Known

log = logging.getLogger(__name__)


class Context(Struct, frozen=True):
    """The settings and the adapters behind the ports, and what is remembered beside the store."""

    settings: Settings
    ledger: Ledger
    queue: WorkQueue
    tasks: Tasks
    images: Images
    access: Access
    sources: BuildSources
    index: DependencyIndex
    bookmarks: Bookmarks
    dead_letters: DeadLetters
    foreign: ForeignRegistries
    dead_events: DeadEventStore
    now: Clock
    steering: Steering = field(default_factory=NoSteering)
    in_force: Known = field(default_factory=Known)
    receivers: Receivers = field(default_factory=NoReceivers)
    lines: Lines = field(default_factory=Lines)
    told_by_events: set[RegistryId] = field(default_factory=set)
    _hosts: dict[RegistryId, str] = field(default_factory=dict)

    def close(self) -> None:
        """Close every adapter's connections."""
        for adapter in (
            self.ledger,
            self.queue,
            self.tasks,
            self.images,
            self.access,
            self.sources,
            self.index,
            self.bookmarks,
            self.dead_letters,
            self.foreign,
            self.dead_events,
            self.steering,
            self.receivers,
        ):
            adapter.close()

    def host(self, registry: PushedRegistry) -> str:
        """Return the registry's login server as references are compared; asks ARM once.

        A registry keeps its login server for life, so it is remembered.

        Raises:
            TransientError, Denied, NotFound: ARM did not say.
        """
        if isinstance(registry, ForeignRegistry):
            return registry.host
        if registry not in self._hosts:
            self._hosts[registry] = canonical_host(self.tasks.registry(registry).login_server)
        return self._hosts[registry]

    def base_registry(self, host: str) -> RegistryId | None:
        """Return the base registry that a host of references is; None if it is none.

        Raises:
            TransientError: It may be one of which ARM does not tell the login server now.
        """
        return self._registry(host, self.settings.base_registries)

    def task_registry(self, host: str) -> RegistryId | None:
        """Return the task registry that a host is: what its tasks push may be a base, too.

        Raises:
            TransientError: It may be one of which ARM does not tell the login server now.
        """
        return self._registry(host, self.settings.task_registries)

    def _registry(self, host: str, registries: Iterable[RegistryId]) -> RegistryId | None:
        """Ask of the registries that it can be only: the others may be out of order, or gone."""
        for registry in registries:
            if not registry.may_be(host):
                continue
            try:
                if self.host(registry) == host:
                    return registry
            except PermanentError as error:
                log.warning("registry %s: %s is taken for another one: %s", registry, host, error)
        return None
