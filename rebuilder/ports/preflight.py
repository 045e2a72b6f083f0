"""How Azure is set up, and what is tried there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rebuilder.core.acr.access import Permission
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.doctor.setup import (
    EventSubscription,
    RegistrySetup,
    RoleDefinition,
    Site,
    Topic,
)
from rebuilder.core.probe.artifacts import Artifact
from rebuilder.core.probe.sample import Sample
from rebuilder.errors import RebuilderError


class Preflight(Protocol):
    """What Azure tells of a set-up, asked by a person.

    Every method raises Throttled, another TransientError, Denied or NotFound.
    """

    def tokens(self) -> list[tuple[str, RebuilderError]]:
        """Ask for a token for each service; return those that gave none, with the reason."""

    def caller(self) -> str:
        """Return the object id of who asks."""

    def principal(self, name: str) -> str:
        """Return an identity's object id.

        Args:
            name: The object id itself, or the resource id of a user-assigned identity or of a
                resource that has one identity.
        """

    def registry(self, registry: RegistryId) -> RegistrySetup:
        """Read how a registry is set up."""

    def permissions(self, scope: str, principal: str) -> list[Permission]:
        """Return what an identity holds at a scope, by its assignments there and above.

        Args:
            scope: A resource id.
            principal: The identity's object id; "" for the caller.
        """

    def permissions_below(self, scope: str, principal: str) -> list[Permission]:
        """Return the same, with what is held at parts of the resource only."""

    def roles(self, scope: str) -> list[RoleDefinition]:
        """Return the roles that may be assigned at a scope."""

    def topics(self, registry: RegistryId) -> list[Topic]:
        """Return the system topics of a registry; Azure allows one."""

    def subscriptions(
        self, registry: RegistryId, topics: Sequence[Topic]
    ) -> list[EventSubscription]:
        """Return the subscriptions to a registry's events, made on it or on its topics."""

    def site(self, resource_id: str) -> Site:
        """Read a function app."""

    def functions(self, site: str) -> list[str]:
        """Return the names of a function app's functions."""

    def storage_account(self, subscription: str, name: str) -> str | None:
        """Return the resource id of a subscription's storage account; None if it has none."""

    def has_container(self, account: str, container: str) -> bool:
        """Tell whether a storage account has a container."""

    def peek(self) -> None:
        """Look into every queue, without taking anything."""

    def close(self) -> None:
        """Close the connections."""


class ProbeRegistries(Protocol):
    """Registries as a person writes into them, with rights of their own.

    Every method raises Throttled, another TransientError, Denied, NotFound or Refused.
    """

    def abac(self, registry: RegistryId) -> bool:
        """Tell whether a registry goes by repository permissions."""

    def push(self, login_server: str, repository: str, tag: str, artifact: Artifact) -> None:
        """Push an artifact; what is there already under the tag loses it."""

    def make(self, sample: Sample) -> str:
        """Make the sample task, its triggers off; return the object id of its identity."""

    def grant(self, registry: RegistryId, principal: str, role: str) -> bool:
        """Give an identity a role on a registry.

        Args:
            registry: The registry.
            principal: The identity's object id.
            role: The role's name, of those in ROLE_IDS.

        Returns:
            Whether it is new: False if the identity had it.
        """

    def delete_task(self, task: TaskId) -> bool:
        """Delete a task; return whether there was one."""

    def delete_repository(self, login_server: str, repository: str) -> bool:
        """Delete a repository with all that is in it; return whether there was one."""

    def revoke(self, registry: RegistryId, principal: str, role: str) -> bool:
        """Take back a role that `grant` gave; return whether it was there."""

    def close(self) -> None:
        """Close the connections."""
