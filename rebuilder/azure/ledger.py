"""The ledger in Azure Storage tables.

Keys are hashes, because keys may not hold every character that names may. What a reader needs
stands in the other columns. A text longer than a property may be is split over several.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import batched
from typing import Any, Self

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableClient, TableServiceClient, UpdateMode

from rebuilder._records import rebuild_from_text, rebuild_to_text
from rebuilder.azure._errors import translated
from rebuilder.azure._storage import connection_string, endpoint
from rebuilder.azure.identity import credential
from rebuilder.core.decisions import Decision, from_record, to_record
from rebuilder.core.events import Ignored, Push
from rebuilder.core.rebuilds import Rebuild
from rebuilder.core.registries import RegistryId, TaskId
from rebuilder.errors import Conflict
from rebuilder.ports import DecisionRecord, IgnoredRecord, PushRecord
from rebuilder.settings import Settings

PUSHES = "rebuilderpushes"
IGNORED = "rebuilderignored"
DECISIONS = "rebuilderdecisions"
REBUILDS = "rebuilderrebuilds"

_TRANSACTION = (
    100  # operations at most; learn.microsoft.com, "Performing entity group transactions"
)
_PROPERTY = 30_000  # characters; a property holds 64 KiB of UTF-16
_LAST = 10**10  # row keys sort upwards; the newest rebuild is to come first

type Entity = dict[str, Any]


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _split(text: str) -> Entity:
    pieces = [text[at : at + _PROPERTY] for at in range(0, len(text), _PROPERTY)]
    return {f"record{number}": piece for number, piece in enumerate(pieces)}


def _joined(entity: Mapping[str, Any]) -> str:
    pieces: list[str] = []
    while (name := f"record{len(pieces)}") in entity:
        pieces.append(str(entity[name]))
    return "".join(pieces)


class TableLedger:
    """A Ledger; see rebuilder.ports.

    Args:
        service: The account's table service.
    """

    def __init__(self, service: TableServiceClient) -> None:
        self._service = service
        self._tables: dict[str, TableClient] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the ledger of the configured account."""
        if text := connection_string(settings):
            return cls(TableServiceClient.from_connection_string(text))
        identity = credential(settings.storage_client_id)
        return cls(TableServiceClient(endpoint(settings, "table"), credential=identity))

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def _table(self, name: str) -> TableClient:
        if name not in self._tables:
            self._tables[name] = self._service.get_table_client(name)
        return self._tables[name]

    def _written[T](self, name: str, write: Callable[[TableClient], T]) -> T:
        """Write to a table that is made when it is missing."""
        table = self._table(name)
        try:
            return write(table)
        except HttpResponseError as error:
            if not _no_table(error):
                raise
        self._service.create_table_if_not_exists(name)
        return write(table)

    def _partition(self, name: str, key: str) -> list[Entity]:
        try:
            found = self._table(name).query_entities(
                "PartitionKey eq @key", parameters={"key": key}
            )
            return [dict(entity) for entity in found]
        except HttpResponseError as error:
            if _no_table(error):
                return []
            raise

    def _count(self, name: str, entity: Entity, at: datetime) -> None:
        """Insert an entity, or count one more delivery of it; no delivery is counted twice."""
        entity |= {"first_at": at.isoformat(), "last_at": at.isoformat(), "deliveries": 1}
        while True:
            try:
                self._written(name, lambda table: table.create_entity(entity))
            except ResourceExistsError:
                pass
            else:
                return
            table = self._table(name)
            try:
                known = table.get_entity(entity["PartitionKey"], entity["RowKey"])
                known["deliveries"] = int(known["deliveries"]) + 1
                known["last_at"] = max(str(known["last_at"]), at.isoformat())
                table.update_entity(
                    known,
                    mode=UpdateMode.REPLACE,
                    etag=known.metadata["etag"],
                    match_condition=MatchConditions.IfNotModified,
                )
            except (ResourceModifiedError, ResourceNotFoundError):
                continue
            return

    def record_push(self, push: Push, at: datetime) -> None:
        """Remember a delivery; see Ledger."""
        entity: Entity = {
            "PartitionKey": _key(str(push.registry), push.repository),
            "RowKey": _key(push.key),
            "push": push.key,
            "pushed_at": push.pushed_at.isoformat() if push.pushed_at else "",
            "event": push.event,
        }
        with translated("record a push"):
            self._count(PUSHES, entity, at)

    def record_ignored(self, ignored: Ignored, at: datetime) -> None:
        """Remember an event that started nothing; see Ledger."""
        source, sentence = ignored.source.lower(), ignored.sentence()
        entity: Entity = {
            "PartitionKey": _key(source),
            "RowKey": _key(ignored.subject, ignored.code, sentence),
            "code": ignored.code,
            "source": source[:_PROPERTY],
            "subject": ignored.subject[:_PROPERTY],
            **_split(sentence),
        }
        with translated("record an ignored event"):
            self._count(IGNORED, entity, at)

    def record_decisions(self, push: Push, decisions: Sequence[Decision], at: datetime) -> None:
        """Remember decisions; see Ledger."""
        partition, time = _key(push.key), at.isoformat()
        with translated("record decisions"):
            known = {e["RowKey"]: e["first_at"] for e in self._partition(DECISIONS, partition)}
            entities: dict[str, Entity] = {}
            for number, decision in enumerate(decisions):
                text = json.dumps(to_record(decision), sort_keys=True)
                row = _key(text)
                entities[row] = {
                    "PartitionKey": partition,
                    "RowKey": row,
                    "first_at": known.get(row, time),
                    "last_at": time,
                    "place": number,
                    **_split(text),
                }
            for some in batched(entities.values(), _TRANSACTION, strict=False):
                self._upsert(some)

    def _upsert(self, entities: Iterable[Entity]) -> None:
        operations = [("upsert", entity, {"mode": UpdateMode.REPLACE}) for entity in entities]
        self._written(DECISIONS, lambda table: table.submit_transaction(operations))

    def pushes(self, registry: RegistryId, repository: str) -> list[PushRecord]:
        """Return the pushes to a repository; see Ledger."""
        with translated("read pushes"):
            entities = self._partition(PUSHES, _key(str(registry), repository))
        records = [
            PushRecord(
                replace(
                    Push.from_key(str(entity["push"])),
                    pushed_at=_time(entity["pushed_at"]) if entity["pushed_at"] else None,
                    event=str(entity["event"]),
                ),
                _time(entity["first_at"]),
                _time(entity["last_at"]),
                int(entity["deliveries"]),
            )
            for entity in entities
        ]
        return sorted(records, key=lambda record: record.last_at, reverse=True)

    def ignored(self, source: str) -> list[IgnoredRecord]:
        """Return the ignored events of a source; see Ledger."""
        with translated("read ignored events"):
            entities = self._partition(IGNORED, _key(source.lower()))
        records = [
            IgnoredRecord(
                str(entity["code"]),
                _joined(entity),
                str(entity["source"]),
                str(entity["subject"]),
                _time(entity["first_at"]),
                _time(entity["last_at"]),
                int(entity["deliveries"]),
            )
            for entity in entities
        ]
        return sorted(records, key=lambda record: record.last_at, reverse=True)

    def decisions(self, push: Push) -> list[DecisionRecord]:
        """Return the decisions of a push; see Ledger."""
        with translated("read decisions"):
            entities = self._partition(DECISIONS, _key(push.key))
        entities.sort(key=lambda entity: (_time(entity["first_at"]), int(entity["place"])))
        return [
            DecisionRecord(
                from_record(json.loads(_joined(entity))),
                _time(entity["first_at"]),
                _time(entity["last_at"]),
            )
            for entity in entities
        ]

    def head(self, task: TaskId) -> Rebuild | None:
        """Return the newest rebuild of a task; see Ledger."""
        query = "PartitionKey eq @key"
        with translated(f"read the rebuilds of {task}"):
            try:
                found = self._table(REBUILDS).query_entities(
                    query, parameters={"key": _key(str(task))}, results_per_page=1
                )
                for entity in found:
                    return rebuild_from_text(_joined(entity))
            except HttpResponseError as error:
                if not _no_table(error):
                    raise
        return None

    def claim(self, rebuild: Rebuild) -> bool:
        """Store a new rebuild; see Ledger."""
        with translated(f"claim rebuild {rebuild.id} of {rebuild.task}"):
            try:
                self._written(REBUILDS, lambda table: table.create_entity(_rebuild_entity(rebuild)))
            except ResourceExistsError:
                return False
            return True

    def save(self, rebuild: Rebuild) -> Rebuild:
        """Store a change of a rebuild; see Ledger."""
        saved = replace(rebuild, version=rebuild.version + 1)
        entity = _rebuild_entity(saved)
        conflict = Conflict(f"rebuild {rebuild.id} of {rebuild.task} was changed by another")
        table = self._table(REBUILDS)
        with translated(f"save rebuild {rebuild.id} of {rebuild.task}"):
            try:
                known = table.get_entity(entity["PartitionKey"], entity["RowKey"])
                if int(known["version"]) != rebuild.version:
                    raise conflict
                table.update_entity(
                    entity,
                    mode=UpdateMode.REPLACE,
                    etag=known.metadata["etag"],
                    match_condition=MatchConditions.IfNotModified,
                )
            except (ResourceModifiedError, ResourceNotFoundError) as error:
                raise conflict from error
        return saved

    def rebuild(self, task: TaskId, sequence: int) -> Rebuild | None:
        """Return one rebuild; see Ledger."""
        with translated(f"read rebuild {sequence} of {task}"):
            try:
                entity = self._table(REBUILDS).get_entity(_key(str(task)), _row(sequence))
            except ResourceNotFoundError:
                return None
        return rebuild_from_text(_joined(entity))

    def rebuilds(self, task: TaskId) -> list[Rebuild]:
        """Return the rebuilds of a task; see Ledger."""
        with translated(f"read the rebuilds of {task}"):
            entities = self._partition(REBUILDS, _key(str(task)))
        return [rebuild_from_text(_joined(entity)) for entity in entities]


def _rebuild_entity(rebuild: Rebuild) -> Entity:
    return {
        "PartitionKey": _key(str(rebuild.task)),
        "RowKey": _row(rebuild.sequence),
        "task": str(rebuild.task),
        "state": rebuild.state.value,
        "version": rebuild.version,
        **_split(rebuild_to_text(rebuild)),
    }


def _row(sequence: int) -> str:
    return f"{_LAST - sequence:011}"


def _time(value: object) -> datetime:
    return datetime.fromisoformat(str(value))


def _no_table(error: HttpResponseError) -> bool:
    # The SDK gives the code as an attribute for some operations, in the text for the others.
    code = str(getattr(error, "error_code", "")).rpartition(".")[2].replace("_", "").lower()
    return code == "tablenotfound" or "TableNotFound" in str(error)
