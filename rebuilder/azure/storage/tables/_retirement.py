"""Going through tables page by page, to remove what is old.

A page is one request; where the next one goes on is what the service tells. What is removed is
removed as it was seen: what was changed meanwhile stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import TableTransactionError
from msgspec import Struct, field

from rebuilder.azure.storage.tables._tables import (
    UNCHANGED,
    Entity,
    Operation,
    Tables,
    batches,
    joined,
    key,
)
from rebuilder.core.rebuilds.history import may_go
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.core.rebuilds.records import readable, rebuild_from_text

_PAGE = 1000  # entities; the service gives no more at once
_CHANGED_OR_GONE = (404, 412)


class Place(Struct, frozen=True):
    """How far a walk has come.

    Attributes:
        table: Which table it is in.
        token: What gives the next page, as the service told.
        state: What is to be known of what was seen before.
    """

    table: str
    token: Mapping[str, str] | None = None
    state: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str, first: str) -> Self:
        """Read a place; the beginning if it is that of an older version, or none."""
        try:
            values = json.loads(text)
            return cls(values["table"], values["token"], values["state"])
        except (ValueError, KeyError, TypeError):
            return cls(first)

    def write(self) -> str:
        """Write it as text."""
        return json.dumps(
            {"table": self.table, "token": self.token, "state": self.state}, separators=(",", ":")
        )


def page(
    tables: Tables, place: Place, query: str, parameters: Mapping[str, str]
) -> tuple[list[Entity], Mapping[str, str] | None]:
    """Return the next page of a table, and what gives the one after it."""
    found_all = tables.table(place.table).query_entities(
        query, parameters=dict(parameters), results_per_page=_PAGE
    )
    # The SDK's tokens are dicts here, whatever its types say.
    begin: Any = dict(place.token) if place.token else None
    pages: Any = found_all.by_page(continuation_token=begin)
    try:
        found = [{**entity, "etag": str(entity.metadata["etag"])} for entity in next(pages, ())]
    except ResourceNotFoundError:
        return [], None
    return found, pages.continuation_token


def remove(tables: Tables, table: str, entities: Iterable[Entity]) -> int:
    """Remove entities that nobody has changed since they were read; return how many."""
    by_partition: dict[str, list[Operation]] = {}
    for entity in entities:
        keys = {name: entity[name] for name in ("PartitionKey", "RowKey")}
        options = {**UNCHANGED, "etag": entity["etag"]}
        by_partition.setdefault(keys["PartitionKey"], []).append(("delete", keys, options))
    removed = 0
    for operations in by_partition.values():
        for batch in batches(operations):
            try:
                tables.submit(table, batch)
                removed += len(batch)
            except TableTransactionError as error:
                if error.status_code not in _CHANGED_OR_GONE:
                    raise
                removed += sum(_remove_one(tables, table, *one) for one in batch)
    return removed


def _remove_one(
    tables: Tables, table: str, kind: str, keys: Entity, options: Mapping[str, Any]
) -> bool:
    del kind
    try:
        # A transaction of one, so that the version counts: a deletion by itself needs none.
        tables.submit(table, [("delete", keys, dict(options))])
    except HttpResponseError as error:
        if error.status_code not in _CHANGED_OR_GONE:
            raise
        return False
    return True


def old_rebuilds(
    entities: Iterable[Entity], seen: Mapping[str, Any], before: datetime
) -> tuple[list[tuple[Entity, Rebuild]], Mapping[str, Any]]:
    """Return the rebuilds of a page that may go, and what the next page is to know.

    Args:
        entities: The page, in the order of the table: task by task, newest first.
        seen: What the page before has left: of which task, how many, and its newest success.
        before: What was over before that is old enough.
    """
    going: list[tuple[Entity, Rebuild]] = []
    partition, newer = seen.get("partition"), int(seen.get("newer", 0))
    success = seen.get("success")
    for entity in entities:
        if entity["PartitionKey"] != partition:
            partition, newer, success = entity["PartitionKey"], 0, None
        for rebuild in readable(rebuild_from_text, [joined(entity)]):
            if success is None and rebuild.state is State.SUCCEEDED:
                success = rebuild.sequence
            if may_go(rebuild, newer, success, before):
                going.append((entity, rebuild))
        newer += 1
    return going, {"partition": partition, "newer": newer, "success": success}


def output_rows(rebuilds: Iterable[Rebuild]) -> Iterable[tuple[str, str]]:
    """Return the keys of the notes of what rebuilds pushed."""
    for rebuild in rebuilds:
        for image in rebuild.output_images:
            yield key(image.lower()), key(str(rebuild.task), str(rebuild.sequence))
