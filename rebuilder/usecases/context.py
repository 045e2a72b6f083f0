"""What every use case is given."""

from __future__ import annotations

from dataclasses import dataclass, field

from rebuilder.core.registries import ForeignRegistry, PushedRegistry, RegistryId, canonical_host
from rebuilder.ports import (
    Access,
    Bookmarks,
    BuildSources,
    Clock,
    DeadEventStore,
    DeadLetters,
    DependencyIndex,
    ForeignRegistries,
    Images,
    Ledger,
    Tasks,
    WorkQueue,
)
from rebuilder.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """The settings and the adapters behind the ports."""

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

    def base_hosts(self) -> frozenset[str]:
        """Return the login servers of every base registry."""
        return frozenset(self.host(registry) for registry in self.settings.base_registries)

    def task_hosts(self) -> frozenset[str]:
        """Return the login servers of every task registry: what tasks push may be a base, too."""
        return frozenset(self.host(registry) for registry in self.settings.task_registries)
