"""The index of dependencies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.dependencies.evidence import TaskView
from rebuilder.core.dependencies.index import IndexedTask, IndexScan


class IndexPage(Struct, frozen=True):
    """Some of the tasks of a registry, in the store's own order.

    Attributes:
        tasks: What is known of them.
        after: What gives the next page; "" after the last one.
    """

    tasks: tuple[IndexedTask, ...]
    after: str = ""


class DependencyIndex(Protocol):
    """Who is built on a repository, answered without asking ARM.

    A task's view is written under the task and under each repository that it names. Whatever
    interrupts that, the next refresh of the task puts it right; until then a task may stand under a
    repository too many, but not under one too few that it stood under before.

    Every method raises TransientError if the store cannot be reached.
    """

    def dependents(self, repository: str) -> list[IndexedTask]:
        """Return the tasks that name a repository; reads that repository's partition only.

        Args:
            repository: Registry and path, as `ImageReference.repository` gives them.
        """

    def producers(self, repository: str) -> list[IndexedTask]:
        """Return the tasks that push to a repository; reads no more than `dependents` does.

        Args:
            repository: As for `dependents`.
        """

    def view(self, task: TaskId) -> IndexedTask | None:
        """Return what is known of a task."""

    def views(self, registry: RegistryId) -> list[IndexedTask]:
        """Return what is known of every task of a registry."""

    def page(self, registry: RegistryId, after: str, limit: int) -> IndexPage:
        """Return what is known of some tasks of a registry.

        Args:
            registry: The registry.
            after: The `after` of the page before; "" for the first one.
            limit: How many at most.
        """

    def replace(self, view: TaskView, at: datetime) -> bool:
        """Store what is known of a task.

        Args:
            view: What is known.
            at: When reading its sources began.

        Returns:
            Whether it was stored: False if what is stored was read later.
        """

    def replace_many(self, views: Sequence[IndexedTask]) -> None:
        """Store what is known of many tasks, as `replace` does."""

    def remove(self, task: TaskId, at: datetime) -> bool:
        """Forget a task that was found to be gone.

        Args:
            task: The task.
            at: When it was looked for.

        Returns:
            Whether it is forgotten: False if what is stored was read later.
        """

    def unseen(self, registry: RegistryId, since: datetime) -> list[TaskId]:
        """Return the tasks of a registry whose sources were last read before `since`."""

    def refreshed(self, registry: RegistryId) -> datetime | None:
        """Return when the last complete scan of a registry began; None if there was none."""

    def refreshes(self) -> dict[RegistryId, datetime]:
        """Return the same for every registry that was ever swept."""

    def mark_refreshed(self, registry: RegistryId, at: datetime) -> None:
        """Remember that a scan which began at `at` is complete; the newest one counts."""

    def scan(self, registry: RegistryId) -> IndexScan | None:
        """Return the scan of a registry that is not complete."""

    def save_scan(self, scan: IndexScan) -> None:
        """Remember how far a scan has come, so that anybody can go on."""

    def close(self) -> None:
        """Close the connections."""
