"""The rows of decisions and rebuilds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import batched, chain

from rebuilder.azure.storage.tables._events import HIGHEST
from rebuilder.azure.storage.tables._tables import (
    Entity,
    Tables,
    joined,
    key,
    split,
    time_of,
)
from rebuilder.core.decisions.decision import Decision, TaskDecision
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.core.rebuilds.records import (
    decision_from_text,
    decision_to_text,
    rebuild_from_text,
    rebuild_to_text,
)
from rebuilder.core.times import time_text
from rebuilder.isolation import together
from rebuilder.ports.ledger import DecisionRecord

_LAST = 10**10  # row keys sort upwards; the newest rebuild is to come first
HASH = 40  # characters of a task's hash at the beginning of the keys of its decisions
_NO_TASK = "-"

_SPAN = 500
"""Of so many tasks the rebuilds are read together, with those of all the tasks between them."""

_PAGE = 1000
"""The most that a request may ask for; learn.microsoft.com, "Query timeout and pagination"."""

_WORTH = 20
"""The least that a page has to answer: so many requests cost more than it."""


def decision_entity(push: Push, decision: Decision, at: datetime, place: int = 0) -> Entity:
    """Return the row of a decision that was made at a time, as the one at a place among others."""
    text, time = decision_to_text(decision), time_text(at)
    return {
        "PartitionKey": key(push.key),
        "RowKey": decision_row(decision, text),
        "first_at": time,
        "last_at": time,
        "place": place,
        **split(text),
    }


def decision_row(decision: Decision, text: str) -> str:
    about = key(str(decision.task))[:HASH] if isinstance(decision, TaskDecision) else _NO_TASK
    return f"{about}.{key(text)}"


def decision_of(entity: Mapping[str, object]) -> DecisionRecord:
    return DecisionRecord(
        decision_from_text(joined(entity)),
        time_of(entity["first_at"]),
        time_of(entity["last_at"]),
    )


def rebuild_entity(rebuild: Rebuild) -> Entity:
    """Return the row of a rebuild."""
    return {
        "PartitionKey": key(str(rebuild.task)),
        "RowKey": rebuild_row(rebuild.sequence),
        "task": str(rebuild.task),
        "state": rebuild.state.value,
        "version": rebuild.version,
        **split(rebuild_to_text(rebuild)),
    }


def rebuild_of(entity: Mapping[str, object]) -> Rebuild:
    return rebuild_from_text(joined(entity))


def rebuild_row(sequence: int) -> str:
    return f"{_LAST - sequence:011}"


def newest_rows(
    tables: Tables,
    table: str,
    partitions: Iterable[str],
    *,
    span: int = _SPAN,
    page: int = _PAGE,
    worth: int = _WORTH,
) -> list[Entity]:
    """Return the first row of each of some partitions; one without rows is left out.

    Few are asked for one by one. Of many, those whose keys follow each other are read page by page
    with all that stands between them, for as long as pages answer enough: keys are hashes, so
    those of many tasks are as dense among all as they are many.

    Args:
        tables: The tables.
        table: The table.
        partitions: The keys of the partitions.
        span: How many of them are read together.
        page: How many rows a request asks for.
        worth: How many a page has to answer for the next one to be read.
    """
    keys = sorted(set(partitions))
    spans = list(batched(keys, span, strict=False)) if len(keys) >= span else []
    read = together(lambda some: _first_rows(tables, table, some, page, worth), spans)
    found = list(chain.from_iterable(rows for rows, _ in read))
    left = list(chain.from_iterable(rest for _, rest in read)) if spans else keys
    single = together(lambda one: tables.span(table, one, "", HIGHEST, 1), left)
    return [*found, *chain.from_iterable(single)]


def _first_rows(
    tables: Tables, table: str, keys: Sequence[str], page: int, worth: int
) -> tuple[list[Entity], Sequence[str]]:
    """Return the first rows of partitions, and those that are to be asked for one by one."""
    query = "PartitionKey ge @first and PartitionKey le @last"
    first: dict[str, Entity] = {}
    reached = 0
    for rows in tables.pages(table, query, {"first": keys[0], "last": keys[-1]}, page):
        for entity in rows:
            first.setdefault(str(entity["PartitionKey"]), entity)
        # Of the partition that a page ends in, the first row is known.
        before, reached = reached, bisect_right(keys, next(reversed(first), ""))
        if len(rows) == page and reached - before < worth:
            break
    else:
        reached = len(keys)
    return [first[one] for one in keys[:reached] if one in first], keys[reached:]
