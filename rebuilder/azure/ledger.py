"""The ledger in Azure Storage tables."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import batched

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import UpdateMode

from rebuilder._records import rebuild_from_text, rebuild_to_text
from rebuilder.azure._errors import translated
from rebuilder.azure._tables import (
    AT_ONCE,
    PROPERTY,
    TRANSACTION,
    Entity,
    TableStore,
    joined,
    key,
    no_table,
    split,
)
from rebuilder.core.decisions import Decision, from_record, to_record
from rebuilder.core.events import Ignored, Push
from rebuilder.core.rebuilds import Rebuild
from rebuilder.core.registries import PushedRegistry, TaskId
from rebuilder.errors import Conflict
from rebuilder.ports import DecisionRecord, IgnoredRecord, PushRecord

PUSHES = "rebuilderpushes"
IGNORED = "rebuilderignored"
DECISIONS = "rebuilderdecisions"
REBUILDS = "rebuilderrebuilds"
UNSETTLED = "rebuilderunsettled"
OUTPUTS = "rebuilderoutputs"

_UNSETTLED = "unsettled"  # the one partition of its table

_LAST = 10**10  # row keys sort upwards; the newest rebuild is to come first


class TableLedger(TableStore):
    """A Ledger; see rebuilder.ports."""

    tables = (PUSHES, IGNORED, DECISIONS, REBUILDS, UNSETTLED, OUTPUTS)

    def _count(self, name: str, entity: Entity, at: datetime) -> None:
        """Insert an entity, or count one more delivery of it; no delivery is counted twice."""
        entity |= {"first_at": at.isoformat(), "last_at": at.isoformat(), "deliveries": 1}
        while True:
            try:
                self._tables.written(name, lambda table: table.create_entity(entity))
            except ResourceExistsError:
                pass
            else:
                return
            table = self._tables.table(name)
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
            "PartitionKey": key(str(push.registry), push.repository),
            "RowKey": key(push.key),
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
            "PartitionKey": key(source),
            "RowKey": key(ignored.subject, ignored.code, sentence),
            "code": ignored.code,
            "source": source[:PROPERTY],
            "subject": ignored.subject[:PROPERTY],
            **split(sentence),
        }
        with translated("record an ignored event"):
            self._count(IGNORED, entity, at)

    def record_decisions(self, push: Push, decisions: Sequence[Decision], at: datetime) -> None:
        """Remember decisions; see Ledger."""
        partition, time = key(push.key), at.isoformat()
        with translated("record decisions"):
            known = {
                e["RowKey"]: e["first_at"] for e in self._tables.partition(DECISIONS, partition)
            }
            entities: dict[str, Entity] = {}
            for number, decision in enumerate(decisions):
                text = json.dumps(to_record(decision), sort_keys=True)
                row = key(text)
                entities[row] = {
                    "PartitionKey": partition,
                    "RowKey": row,
                    "first_at": known.get(row, time),
                    "last_at": time,
                    "place": number,
                    **split(text),
                }
            for some in batched(entities.values(), TRANSACTION, strict=False):
                self._upsert(some)

    def _upsert(self, entities: Iterable[Entity]) -> None:
        operations = [("upsert", entity, {"mode": UpdateMode.REPLACE}) for entity in entities]
        self._tables.written(DECISIONS, lambda table: table.submit_transaction(operations))

    def pushes(self, registry: PushedRegistry, repository: str) -> list[PushRecord]:
        """Return the pushes to a repository; see Ledger."""
        with translated("read pushes"):
            entities = self._tables.partition(PUSHES, key(str(registry), repository))
        records = [_push(entity) for entity in entities]
        return sorted(records, key=lambda record: record.last_at, reverse=True)

    def pushes_between(self, since: datetime, until: datetime) -> list[PushRecord]:
        """Return the pushes of a time span; see Ledger."""
        # In text, so that it is compared as the column is stored.
        span = {"since": _text(since), "until": _text(until)}
        with translated("read pushes"):
            entities = self._tables.query(PUSHES, "first_at ge @since and first_at lt @until", span)
        return sorted(map(_push, entities), key=lambda record: record.first_at)

    def ignored(self, source: str) -> list[IgnoredRecord]:
        """Return the ignored events of a source; see Ledger."""
        with translated("read ignored events"):
            entities = self._tables.partition(IGNORED, key(source.lower()))
        records = [
            IgnoredRecord(
                str(entity["code"]),
                joined(entity),
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
            entities = self._tables.partition(DECISIONS, key(push.key))
        entities.sort(key=lambda entity: (_time(entity["first_at"]), int(entity["place"])))
        return [
            DecisionRecord(
                from_record(json.loads(joined(entity))),
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
                found = self._tables.table(REBUILDS).query_entities(
                    query, parameters={"key": key(str(task))}, results_per_page=1
                )
                for entity in found:
                    return rebuild_from_text(joined(entity))
            except HttpResponseError as error:
                if not no_table(error):
                    raise
        return None

    def heads(self, tasks: Collection[TaskId]) -> dict[TaskId, Rebuild]:
        """Return the newest rebuild of each task; see Ledger."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = dict(zip(tasks, pool.map(self.head, tasks), strict=True))
        return {task: head for task, head in found.items() if head is not None}

    def claim(self, rebuild: Rebuild) -> bool:
        """Store a new rebuild; see Ledger."""
        self._note(rebuild)
        with translated(f"claim rebuild {rebuild.id} of {rebuild.task}"):
            try:
                self._tables.written(
                    REBUILDS, lambda table: table.create_entity(_rebuild_entity(rebuild))
                )
            except ResourceExistsError:
                return False
            return True

    def save(self, rebuild: Rebuild) -> Rebuild:
        """Store a change of a rebuild; see Ledger."""
        saved = replace(rebuild, version=rebuild.version + 1)
        entity = _rebuild_entity(saved)
        conflict = Conflict(f"rebuild {rebuild.id} of {rebuild.task} was changed by another")
        table = self._tables.table(REBUILDS)
        self._note(saved)
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
        if not saved.unsettled:
            self._settle(saved)
        return saved

    def rebuild(self, task: TaskId, sequence: int) -> Rebuild | None:
        """Return one rebuild; see Ledger."""
        with translated(f"read rebuild {sequence} of {task}"):
            try:
                entity = self._tables.table(REBUILDS).get_entity(key(str(task)), _row(sequence))
            except ResourceNotFoundError:
                return None
        return rebuild_from_text(joined(entity))

    def rebuilds(self, task: TaskId) -> list[Rebuild]:
        """Return the rebuilds of a task; see Ledger."""
        with translated(f"read the rebuilds of {task}"):
            entities = self._tables.partition(REBUILDS, key(str(task)))
        return [rebuild_from_text(joined(entity)) for entity in entities]

    def unsettled(self) -> list[Rebuild]:
        """Return what something is still to happen to; see Ledger."""
        with translated("read unsettled rebuilds"):
            noted = self._tables.partition(UNSETTLED, _UNSETTLED)

        def read(entity: Entity) -> Rebuild | None:
            task, sequence = TaskId.parse(str(entity["task"])), int(entity["sequence"])
            found = self.rebuild(task, sequence)
            if found is not None and not found.unsettled:
                # Whoever settled it came no further.
                self._settle(found)
                return None
            # A note without its rebuild may belong to a claim that is being made.
            return found

        with ThreadPoolExecutor(AT_ONCE) as pool:
            rebuilds = [found for found in pool.map(read, noted) if found is not None]
        return sorted(rebuilds, key=lambda rebuild: (rebuild.task, rebuild.sequence))

    def producer(self, image: str) -> Rebuild | None:
        """Return the newest rebuild that pushed an image; see Ledger."""
        with translated(f"read who pushed {image}"):
            noted = self._tables.partition(OUTPUTS, key(image.lower()))
        found = [
            self.rebuild(TaskId.parse(str(entity["task"])), int(entity["sequence"]))
            for entity in noted
        ]
        # The note is written first: what it says counts once the record says it too.
        pushed = [
            rebuild
            for rebuild in found
            if rebuild is not None
            and image.lower() in (output.lower() for output in rebuild.output_images)
        ]
        return max(pushed, key=lambda r: r.finished_at or r.claimed_at, default=None)

    def _note(self, rebuild: Rebuild) -> None:
        """Keep what is looked up of a rebuild otherwise than by its task, before the rebuild."""
        about = {"task": str(rebuild.task), "sequence": rebuild.sequence}
        row = key(str(rebuild.task), str(rebuild.sequence))
        with translated(f"note rebuild {rebuild.id} of {rebuild.task}"):
            if rebuild.unsettled:
                entity = {"PartitionKey": _UNSETTLED, "RowKey": row, **about}
                self._tables.written(UNSETTLED, lambda table: table.upsert_entity(entity))
            for image in rebuild.output_images:
                output = {"PartitionKey": key(image.lower()), "RowKey": row, **about}
                self._put_output(output)

    def _put_output(self, entity: Entity) -> None:
        self._tables.written(OUTPUTS, lambda table: table.upsert_entity(entity))

    def _settle(self, rebuild: Rebuild) -> None:
        row = key(str(rebuild.task), str(rebuild.sequence))
        with translated(f"settle rebuild {rebuild.id} of {rebuild.task}"):
            self._tables.table(UNSETTLED).delete_entity(_UNSETTLED, row)


def _rebuild_entity(rebuild: Rebuild) -> Entity:
    return {
        "PartitionKey": key(str(rebuild.task)),
        "RowKey": _row(rebuild.sequence),
        "task": str(rebuild.task),
        "state": rebuild.state.value,
        "version": rebuild.version,
        **split(rebuild_to_text(rebuild)),
    }


def _push(entity: Entity) -> PushRecord:
    return PushRecord(
        replace(
            Push.from_key(str(entity["push"])),
            pushed_at=_time(entity["pushed_at"]) if entity["pushed_at"] else None,
            event=str(entity["event"]),
        ),
        _time(entity["first_at"]),
        _time(entity["last_at"]),
        int(entity["deliveries"]),
    )


def _row(sequence: int) -> str:
    return f"{_LAST - sequence:011}"


def _time(value: object) -> datetime:
    return datetime.fromisoformat(str(value))


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat()
