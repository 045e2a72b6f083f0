"""Deliveries of events, counted in Azure Storage tables.

What was delivered has one row, whose key is made of what makes it the same, and beside it in the
same partition rows that sort by the last delivery, newest first: a push one for its tag and one
for its digest, an ignored event one for its repository. All of them are changed in one transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from copy import replace
from datetime import datetime

from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableTransactionError
from msgspec import Struct

from rebuilder.azure.storage.tables._tables import (
    PROPERTY,
    REPLACE,
    UNCHANGED,
    Entity,
    Operation,
    Tables,
    batches,
    falling,
    joined,
    key,
    rising,
    split,
    time_of,
)
from rebuilder.core.acr.registries import PushedRegistry
from rebuilder.core.events.pushes import Ignored, Push, repository_of
from rebuilder.core.times import time_text
from rebuilder.isolation import together
from rebuilder.ports.ledger import FirstDelivery, IgnoredRecord, PushRecord

PUSHES = "rebuilderpushes"
DAYS = "rebuilderpushdays"
IGNORED = "rebuilderignored"

FILED = "filed"
"""The column that tells that the rows beside are there; version 0.1.0 made none."""

_PREFIX = 32  # characters of a hash: enough to tell what stands in one partition
_TAG, _DIGEST, _REPOSITORY = "t", "x", "r"  # sort after every hash
_THERE = (409, 412)  # it was made, or changed, by another
_GONE = 404


class Delivered(Struct, frozen=True):
    """What was delivered, as its row.

    Attributes:
        table: Where.
        entity: The row, without times and count.
        beside: The beginnings of the keys of the rows beside.
        push: The push, if it is one.
    """

    table: str
    entity: Entity
    beside: tuple[str, ...]
    push: Push | None = None

    @property
    def keys(self) -> tuple[str, str]:
        """The keys of the row."""
        return str(self.entity["PartitionKey"]), str(self.entity["RowKey"])

    def places(self, last_at: datetime) -> list[str]:
        """Return the keys of the rows beside."""
        end = self.keys[1][:_PREFIX]
        return [f"{beginning}{falling(last_at)}{end}" for beginning in self.beside]

    def pushed_last(self, at: datetime, known: Mapping[str, object] | None = None) -> Entity:
        """Return when it was pushed last, by this delivery and those that are known."""
        if self.push is None:
            return {}
        last = self.push.pushed_by(at)
        before = (known or {}).get("pushed_last") or (known or {}).get("last_at")
        return {"pushed_last": time_text(last if before is None else max(last, time_of(before)))}

    def rows(self, entity: Entity) -> Iterable[Entity]:
        """Return the rows beside."""
        for place in self.places(time_of(entity["last_at"])):
            yield {**entity, "RowKey": place}


def pushed(push: Push) -> Delivered:
    """Return the row of a push."""
    entity: Entity = {
        "PartitionKey": repository_key(push.registry, push.repository),
        "RowKey": key(push.key),
        "push": push.key,
        "pushed_at": push.pushed_at.isoformat() if push.pushed_at else "",
        "event": push.event,
    }
    return Delivered(PUSHES, entity, (by_tag(push.tag), by_digest(push.digest)), push)


def set_aside(ignored: Ignored) -> Delivered:
    """Return the row of an event that started nothing."""
    source, sentence = ignored.source.lower(), ignored.sentence()
    entity: Entity = {
        "PartitionKey": key(source),
        "RowKey": key(ignored.subject, ignored.code, sentence),
        "code": ignored.code,
        "source": source[:PROPERTY],
        "subject": ignored.subject[:PROPERTY],
        **split(sentence),
    }
    return Delivered(IGNORED, entity, (by_repository(repository_of(ignored.subject)),))


def repository_key(registry: PushedRegistry, repository: str) -> str:
    """Return the partition of a repository's pushes."""
    return key(str(registry), repository)


def by_tag(tag: str) -> str:
    """Return how the keys of the rows of a tag begin."""
    return _TAG + key(tag)[:_PREFIX]


def by_digest(digest: str) -> str:
    """Return how the keys of the rows of a digest begin."""
    return _DIGEST + key(digest)[:_PREFIX]


def by_repository(repository: str) -> str:
    """Return how the keys of the ignored events of a repository begin."""
    return _REPOSITORY + key(repository)[:_PREFIX]


def count(tables: Tables, delivered: Iterable[Delivered], at: datetime) -> list[Entity]:
    """Insert rows, or count one more delivery of each; no delivery is lost.

    Returns:
        The rows as they are now.
    """
    by_partition: dict[tuple[str, str], dict[str, tuple[Delivered, int]]] = defaultdict(dict)
    for one in delivered:
        partition, row = one.keys
        _, before = by_partition[one.table, partition].get(row, (one, 0))
        by_partition[one.table, partition][row] = one, before + 1

    def write(rows: dict[str, tuple[Delivered, int]]) -> list[Entity]:
        return _insert(tables, list(rows.values()), at)

    return [entity for found in together(write, by_partition.values()) for entity in found]


def _insert(tables: Tables, rows: list[tuple[Delivered, int]], at: datetime) -> list[Entity]:
    """Insert new rows of one partition; those that are not new are counted one by one."""
    time = time_text(at)
    entities: dict[str, Entity] = {}
    operations: list[Operation] = []
    for one, deliveries in rows:
        entity = one.entity | {
            "first_at": time,
            "last_at": time,
            "deliveries": deliveries,
            **one.pushed_last(at),
            FILED: True,
        }
        entities[one.keys[1]] = entity
        operations.append(("create", entity, {}))
        operations += [("upsert", row, REPLACE) for row in one.rows(entity)]
    table, together = rows[0][0].table, 1 + len(rows[0][0].beside)
    by_row = {one.keys[1]: (one, deliveries) for one, deliveries in rows}
    for batch in batches(operations, together=together):
        try:
            tables.submit(table, batch)
        except TableTransactionError as error:
            if error.status_code not in _THERE:
                raise
            for operation, entity, _ in batch:
                if operation == "create":
                    row = str(entity["RowKey"])
                    entities[row] = _again(tables, *by_row[row], at)
    return list(entities.values())


def _again(tables: Tables, one: Delivered, deliveries: int, at: datetime) -> Entity:
    """Count more deliveries of what was delivered before."""
    time = time_text(at)
    while True:
        entity, etag = _found(tables, one)
        changed = {
            **entity,
            # The first delivery cannot be later than this one, whatever a clock said.
            "first_at": time_text(min(time_of(entity.get("first_at", time)), at)),
            "last_at": time,
            "deliveries": int(entity.get("deliveries", 0)) + deliveries,
            **one.pushed_last(at, entity),
            FILED: True,
        }
        change: Operation = ("create", changed, {})
        outdated: list[Operation] = []
        if etag:
            change = ("update", changed, {**REPLACE, **UNCHANGED, "etag": etag})
            outdated = _outdated(one, time_of(entity["last_at"]), at)
        rows: list[Operation] = [("upsert", row, REPLACE) for row in one.rows(changed)]
        try:
            _submit(tables, one.table, [change, *rows], outdated)
        except HttpResponseError as error:
            if error.status_code not in _THERE:
                raise
            continue
        return changed


def _found(tables: Tables, one: Delivered) -> tuple[Entity, str]:
    """Return a row and its version; "" if it was retired meanwhile."""
    known, etag = tables.read(one.table, *one.keys)
    return (known, etag) if etag else (one.entity, "")


def _outdated(one: Delivered, before: datetime, now: datetime) -> list[Operation]:
    partition = one.keys[0]
    left = set(one.places(before)) - set(one.places(now))
    return [("delete", {"PartitionKey": partition, "RowKey": row}, {}) for row in sorted(left)]


def _submit(
    tables: Tables, table: str, changes: list[Operation], removals: list[Operation]
) -> None:
    """Make changes; what is to be removed with them need not be there."""
    try:
        tables.submit(table, [*changes, *removals])
    except HttpResponseError as error:
        if error.status_code != _GONE or not removals:
            raise
        tables.submit(table, changes)


def file(tables: Tables, entity: Mapping[str, object], one: Delivered) -> None:
    """Give a row of version 0.1.0 the rows beside; nothing happens if it was changed meanwhile."""
    known = {name: value for name, value in entity.items() if name != "etag"}
    etag = {**REPLACE, **UNCHANGED, "etag": entity["etag"]}
    changes: list[Operation] = [("update", {**known, FILED: True}, etag)]
    changes += [("upsert", row, REPLACE) for row in one.rows(known)]
    try:
        tables.submit(one.table, changes)
    except TableTransactionError as error:
        if error.status_code not in (*_THERE, _GONE):
            raise


def day_row(entity: Mapping[str, object]) -> Entity:
    """Return the row that a push has under its day."""
    first = time_of(entity["first_at"])
    return {
        "PartitionKey": day(first),
        "RowKey": f"{rising(first)}{str(entity['RowKey'])[:_PREFIX]}",
        "push": entity["push"],
        "pushed_at": entity["pushed_at"],
        "event": entity["event"],
        "at": time_text(first),
    }


def day(time: datetime) -> str:
    """Return the partition of the pushes of a day."""
    return time_text(time)[:10]


def push_of(entity: Mapping[str, object]) -> Push:
    """Return the push of a row."""
    return replace(
        Push.from_key(str(entity["push"])),
        pushed_at=time_of(entity["pushed_at"]) if entity["pushed_at"] else None,
        event=str(entity["event"]),
    )


def push_record(entity: Mapping[str, object]) -> PushRecord:
    """Return a push with its deliveries."""
    return PushRecord(
        push_of(entity),
        time_of(entity["first_at"]),
        time_of(entity["last_at"]),
        int(str(entity["deliveries"])),
        time_of(entity["pushed_last"]) if entity.get("pushed_last") else None,
    )


def first_delivery(entity: Mapping[str, object]) -> FirstDelivery:
    """Return a push with its first delivery, of its row or of the one under its day."""
    return FirstDelivery(push_of(entity), time_of(entity.get("at") or entity["first_at"]))


def ignored_record(entity: Mapping[str, object]) -> IgnoredRecord:
    """Return an ignored event with its deliveries."""
    return IgnoredRecord(
        str(entity["code"]),
        joined(entity),
        str(entity["source"]),
        str(entity["subject"]),
        time_of(entity["first_at"]),
        time_of(entity["last_at"]),
        int(str(entity["deliveries"])),
    )


def about_repository(entity: Mapping[str, object]) -> Delivered:
    """Return the row of an ignored event of version 0.1.0, to give it the rows beside."""
    beside = (by_repository(repository_of(str(entity["subject"]))),)
    return Delivered(IGNORED, dict(entity), beside)


def is_beside(entity: Mapping[str, object]) -> bool:
    """Tell whether a row is one of those beside."""
    return str(entity["RowKey"])[0] in (_TAG, _DIGEST, _REPOSITORY)
