"""The rows of the index: of tasks, and of tasks under the repositories that they name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import replace
from datetime import datetime, timedelta
from typing import Any, Self

from msgspec import Struct

from rebuilder.azure.storage.tables._tables import Entity, joined, key, split, time_of
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.dependencies.index import IndexedTask, repositories
from rebuilder.core.rebuilds.records import view_from_record, view_from_text
from rebuilder.core.times import time_text

# How long it is remembered that a task is gone, or that it no longer names a repository: longer
# than whoever read it before may take.
GONE = timedelta(hours=1)


class Row(Struct, frozen=True):
    """The row of a task.

    Attributes:
        task: The task.
        read_at: When its sources were read, as text that sorts.
        view: What was known of it, as JSON values; None if it was gone.
        under: The repositories that have a row of the task or may have; with the time at which
            the task was found not to name one any more, "" for those that it names.
        settled: Whether the rows under the repositories are as the view says.
        etag: The version in the table; "" if it is not there yet.
    """

    task: TaskId
    read_at: str
    view: Mapping[str, Any] | None
    under: Mapping[str, str]
    settled: bool = False
    etag: str = ""

    @classmethod
    def read(cls, entity: Mapping[str, Any], etag: str = "") -> Self:
        """Read an entity."""
        record = json.loads(joined(entity))
        task, read_at = TaskId.parse(str(entity["task"])), str(entity["read_at"])
        return cls(task, read_at, record["view"], record["under"], bool(entity["settled"]), etag)

    def entity(self) -> Entity:
        """Return the entity to write."""
        record = {"view": self.view, "under": self.under}
        return {
            "PartitionKey": key(str(self.task.registry)),
            "RowKey": key(str(self.task)),
            "task": str(self.task),
            "read_at": self.read_at,
            "gone": self.view is None,
            "settled": self.settled,
            **split(json.dumps(record, separators=(",", ":"))),
        }

    @property
    def named(self) -> frozenset[str]:
        """The repositories that the task names."""
        return repositories(view_from_record(self.view)) if self.view else frozenset()

    def changed(self, at: str, view: Mapping[str, Any] | None) -> Row:
        """Return the row with another view, and every repository that may have a row by then."""
        changed = replace(self, read_at=at, view=view, settled=False)
        return replace(changed, under={**self.under, **dict.fromkeys(changed.named, "")})

    def after_settling(self) -> Row:
        """Return the row once the rows under the repositories are as the view says."""
        named = self.named
        oldest = time_text(datetime.fromisoformat(self.read_at) - GONE)
        left = {name: since or self.read_at for name, since in self.under.items()}
        under = {name: since for name, since in left.items() if since >= oldest}
        return replace(self, settled=True, under={**under, **dict.fromkeys(named, "")})

    def dependent(self, repository: str) -> Entity:
        """Return the entity of the task under a repository."""
        return {
            "PartitionKey": key(repository),
            "RowKey": key(str(self.task)),
            "repository": repository[:1000],
            "task": str(self.task),
            "read_at": self.read_at,
            **split(json.dumps(self.view, separators=(",", ":"))),
        }


def dependent_of(entity: Entity) -> IndexedTask:
    return IndexedTask(view_from_text(joined(entity)), time_of(entity["read_at"]))


def indexed_of(row: Row) -> IndexedTask | None:
    if row.view is None:
        return None
    return IndexedTask(view_from_record(row.view), datetime.fromisoformat(row.read_at))
