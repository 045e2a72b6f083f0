"""The index of dependencies in Azure Storage tables.

A view stands in the row of its task and, once more, in a row under each repository that it names,
so that one partition answers who is built on a repository. No transaction spans partitions, so
the task's row is written first, with every repository that may have a row by then; the rows under
the repositories follow, new ones before old ones go; and last the task's row says that all is
settled. Whoever finds the task's row changed on that last write sets all rows by what is there
now. Under a repository that a task no longer names, a slower writer may have put the row back, so
it is remembered for a while and removed once more by the next refresh.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import replace
from datetime import datetime
from itertools import chain, islice
from typing import Any

from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableTransactionError

from rebuilder.azure._errors import translated
from rebuilder.azure.storage.tables._index_rows import GONE, Row, dependent_of, indexed_of
from rebuilder.azure.storage.tables._tables import (
    REPLACE,
    UNCHANGED,
    Entity,
    Operation,
    TableStore,
    batches,
    joined,
    key,
    split,
)
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.dependencies.evidence import TaskView
from rebuilder.core.dependencies.index import IndexedTask, IndexScan, pushing_to, to_record
from rebuilder.core.rebuilds.records import readable
from rebuilder.core.times import time_text
from rebuilder.isolation import together
from rebuilder.ports.index import IndexPage

VIEWS = "rebuilderviews"
DEPENDENTS = "rebuilderdependents"
REFRESHES = "rebuilderrefreshes"

# One partition, because a plan asks for all of them.
_REGISTRIES = "registries"
_THERE = 409


class TableIndex(TableStore):
    """A DependencyIndex; see rebuilder.ports."""

    tables = (VIEWS, DEPENDENTS, REFRESHES)

    def dependents(self, repository: str) -> list[IndexedTask]:
        """Return the tasks that name a repository; see DependencyIndex."""
        with translated(f"read who is built on {repository}"):
            entities = self._tables.partition(DEPENDENTS, key(repository))
        entities.sort(key=lambda entity: str(entity["task"]))
        return list(readable(dependent_of, entities))

    def producers(self, repository: str) -> list[IndexedTask]:
        """Return the tasks that push to a repository; see DependencyIndex."""
        return self.dependents(pushing_to(repository))

    def view(self, task: TaskId) -> IndexedTask | None:
        """Return what is known of a task; see DependencyIndex."""
        with translated(f"read the view of {task}"):
            row = self._row(task)
        return indexed_of(row) if row is not None else None

    def views(self, registry: RegistryId) -> list[IndexedTask]:
        """Return what is known of every task of a registry; see DependencyIndex."""
        with translated(f"read the views of {registry}"):
            entities = self._tables.partition(VIEWS, key(str(registry)), "gone eq false")
        rows = sorted(map(Row.read, entities), key=lambda row: row.task)
        return [indexed for indexed in readable(indexed_of, rows) if indexed is not None]

    def page(self, registry: RegistryId, after: str, limit: int) -> IndexPage:
        """Return what is known of some tasks; see DependencyIndex."""
        query = "PartitionKey eq @key and RowKey gt @after and gone eq false"
        parameters = {"key": key(str(registry)), "after": after}
        with translated(f"read the views of {registry}"):
            entities = self._tables.query(VIEWS, query, parameters, limit)
        found = (indexed for indexed in readable(_read, entities) if indexed is not None)
        more = str(entities[-1]["RowKey"]) if len(entities) == limit else ""
        return IndexPage(tuple(found), more)

    def replace(self, view: TaskView, at: datetime) -> bool:
        """Store what is known of a task; see DependencyIndex."""
        with translated(f"store the view of {view.task}"):
            return self._write(view.task, at, to_record(view))

    def remove(self, task: TaskId, at: datetime) -> bool:
        """Forget a task; see DependencyIndex."""
        with translated(f"forget {task}"):
            return self._write(task, at, None)

    def replace_many(self, views: Sequence[IndexedTask]) -> None:
        """Store what is known of many tasks; see DependencyIndex."""
        by_registry: dict[RegistryId, list[IndexedTask]] = defaultdict(list)
        for indexed in views:
            by_registry[indexed.view.task.registry].append(indexed)
        chunks = [some for group in by_registry.values() for some in _chunks(group)]
        with translated("store views"):
            made = together(self._create, chunks)
            self._settle_new([rows for rows in made if rows])
            # Most scans find tasks that are there already.
            known = (some for some, rows in zip(chunks, made, strict=True) if not rows)
            together(
                lambda pair: self.replace(pair[0].view, pair[0].read_at), chain.from_iterable(known)
            )

    def _write(self, task: TaskId, at: datetime, view: Mapping[str, Any] | None) -> bool:
        time = time_text(at)
        while True:
            known = self._row(task)
            # What was read an hour after now was not: a clock was wrong.
            if known is not None and time < known.read_at <= time_text(at + GONE):
                return False
            row = (known or Row(task, time, None, {})).changed(time, view)
            stored = self._stored(row)
            if stored is not None:
                self._settle(stored)
                return True

    def _create(self, some: Sequence[tuple[IndexedTask, Row]]) -> list[Row]:
        """Store views of tasks of one registry in one request, if none of them has one."""
        rows = [row for _, row in some]
        try:
            answers = self._tables.submit(VIEWS, [("create", row.entity(), {}) for row in rows])
        except TableTransactionError as error:
            if error.status_code != _THERE:
                raise
            return []
        return [replace(row, etag=str(a["etag"])) for row, a in zip(rows, answers, strict=True)]

    def _settle_new(self, chunks: Sequence[Sequence[Row]]) -> None:
        """Do for many new rows, in few requests, what `_settle` does for one."""
        by_repository: dict[str, list[Entity]] = defaultdict(list)
        for row in chain.from_iterable(chunks):
            for name in row.named:
                by_repository[name].append(row.dependent(name))
        together(lambda name: self._upsert({name: by_repository[name]}), by_repository)

        def settle(rows: Sequence[Row]) -> None:
            updates: list[Operation] = [
                (
                    "update",
                    row.after_settling().entity(),
                    {**REPLACE, **UNCHANGED, "etag": row.etag},
                )
                for row in rows
            ]
            try:
                for batch in batches(updates):
                    self._tables.submit(VIEWS, batch)
            except TableTransactionError:
                for row in rows:
                    self._settle(row)

        together(settle, chunks)

    def _upsert(self, by_repository: Mapping[str, Sequence[Entity]]) -> None:
        for entities in by_repository.values():
            for batch in batches(("upsert", entity, REPLACE) for entity in entities):
                self._tables.submit(DEPENDENTS, batch)

    def _settle(self, row: Row) -> None:
        """Make the rows under the repositories what the task's row says; then note that."""
        touched: set[str] = set()
        while True:
            touched |= row.under.keys()
            self._upsert({name: [row.dependent(name)] for name in row.named})
            for name in touched - row.named:
                with suppress(ResourceNotFoundError):
                    self._tables.table(DEPENDENTS).delete_entity(key(name), key(str(row.task)))
            if self._stored(row.after_settling()) is not None:
                return
            # Another refresh came in between: what it wrote counts, and is written again. If
            # there is nothing any more, the task has been gone for long.
            row = self._row(row.task) or replace(row, view=None, etag="")

    def _row(self, task: TaskId) -> Row | None:
        found, etag = self._tables.read(VIEWS, key(str(task.registry)), key(str(task)))
        return Row.read(found, etag) if etag else None

    def _stored(self, row: Row) -> Row | None:
        """Write a task's row; None if somebody else changed it since it was read."""
        etag = self._tables.change(VIEWS, row.entity(), row.etag)
        return replace(row, etag=etag) if etag else None

    def unseen(self, registry: RegistryId, since: datetime) -> list[TaskId]:
        """Return the tasks that were last read before; see DependencyIndex."""
        old = f"gone eq false and read_at lt '{time_text(since)}'"
        with translated(f"read which tasks of {registry} were not seen"):
            entities = self._tables.partition(VIEWS, key(str(registry)), old)
        return sorted(TaskId.parse(str(entity["task"])) for entity in entities)

    def refreshed(self, registry: RegistryId) -> datetime | None:
        """Return when the last complete scan began; see DependencyIndex."""
        with translated(f"read when {registry} was refreshed"):
            entity, _ = self._refresh(registry)
        return _time(entity["refreshed_at"])

    def refreshes(self) -> dict[RegistryId, datetime]:
        """Return when each registry was last swept; see DependencyIndex."""
        with translated("read when the registries were refreshed"):
            entities = self._tables.partition(REFRESHES, _REGISTRIES, "refreshed_at ne ''")
        return {
            RegistryId.parse(str(entity["registry"])): datetime.fromisoformat(
                str(entity["refreshed_at"])
            )
            for entity in entities
        }

    def mark_refreshed(self, registry: RegistryId, at: datetime) -> None:
        """Remember that a scan is complete; see DependencyIndex."""
        time, possible = time_text(at), time_text(at + GONE)

        def complete(entity: Entity) -> Entity:
            under_way, before = str(entity["started"]), str(entity["refreshed_at"])
            done = under_way <= time or under_way > possible
            return {
                **_refresh_keys(registry),
                "refreshed_at": time if before > possible else max(before, time),
                "started": "" if done else under_way,
                **split("" if done else joined(entity)),
            }

        with translated(f"note that {registry} was refreshed"):
            self._change_refresh(registry, complete)
            gone = f"gone eq true and read_at lt '{time_text(at - GONE)}'"
            for entity in self._tables.partition(VIEWS, key(str(registry)), gone):
                self._purge(Row.read(entity, entity["etag"]))

    def _purge(self, row: Row) -> None:
        """Forget that a task is gone, and remove what a slower writer may have put back."""
        for name in row.under:
            with suppress(ResourceNotFoundError):
                self._tables.table(DEPENDENTS).delete_entity(key(name), key(str(row.task)))
        with suppress(ResourceModifiedError, ResourceNotFoundError):
            self._tables.table(VIEWS).delete_entity(
                key(str(row.task.registry)),
                key(str(row.task)),
                **UNCHANGED,
                etag=row.etag,
            )

    def scan(self, registry: RegistryId) -> IndexScan | None:
        """Return the scan that is not complete; see DependencyIndex."""
        with translated(f"read the scan of {registry}"):
            entity, _ = self._refresh(registry)
        started = _time(entity["started"])
        return IndexScan(registry, started, joined(entity)) if started else None

    def save_scan(self, scan: IndexScan) -> None:
        """Remember how far a scan has come; see DependencyIndex."""

        def under_way(entity: Entity) -> Entity:
            return {
                **_refresh_keys(scan.registry),
                "refreshed_at": entity["refreshed_at"],
                "started": time_text(scan.started),
                **split(scan.after),
            }

        with translated(f"note the scan of {scan.registry}"):
            self._change_refresh(scan.registry, under_way)

    def _refresh(self, registry: RegistryId) -> tuple[Entity, str]:
        """Return what is noted of a registry's scans, and its version."""
        keys = _refresh_keys(registry)
        found, etag = self._tables.read(REFRESHES, keys["PartitionKey"], keys["RowKey"])
        return found or {"refreshed_at": "", "started": ""}, etag

    def _change_refresh(self, registry: RegistryId, change: Callable[[Entity], Entity]) -> None:
        while True:
            entity, etag = self._refresh(registry)
            if self._tables.change(REFRESHES, change(entity), etag):
                return


def _refresh_keys(registry: RegistryId) -> Entity:
    return {
        "PartitionKey": _REGISTRIES,
        "RowKey": key(str(registry)),
        "registry": str(registry),
    }


def _chunks(views: Iterable[IndexedTask]) -> Iterator[list[tuple[IndexedTask, Row]]]:
    """Return views of one registry with their rows, as many together as a request takes."""
    given = list(views)
    rows = [
        Row(i.view.task, "", None, {}).changed(time_text(i.read_at), to_record(i.view))
        for i in given
    ]
    pairs = iter(zip(given, rows, strict=True))
    for batch in batches(("create", row.entity(), {}) for row in rows):
        yield list(islice(pairs, len(batch)))


def _time(value: object) -> datetime | None:
    return datetime.fromisoformat(str(value)) if value else None


def _read(entity: Entity) -> IndexedTask | None:
    return indexed_of(Row.read(entity))
