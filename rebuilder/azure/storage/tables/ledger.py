"""The ledger in Azure Storage tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import replace
from datetime import datetime

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableTransactionError, UpdateMode

from rebuilder.azure._errors import translated
from rebuilder.azure.storage.tables import _deliveries
from rebuilder.azure.storage.tables._deliveries import DAYS, IGNORED, PUSHES
from rebuilder.azure.storage.tables._events import HIGHEST, UNSETTLED, TableEvents
from rebuilder.azure.storage.tables._retirement import (
    Place,
    old_rebuilds,
    output_rows,
    page,
    remove,
)
from rebuilder.azure.storage.tables._rows import (
    HASH,
    decision_entity,
    decision_of,
    decision_row,
    newest_rows,
    rebuild_entity,
    rebuild_of,
    rebuild_row,
)
from rebuilder.azure.storage.tables._tables import (
    Entity,
    Operation,
    batches,
    joined,
    key,
    time_of,
)
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.decisions.decision import Decision, TaskDecision
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.core.rebuilds.records import decision_from_text, readable, rebuild_from_text
from rebuilder.core.times import time_text
from rebuilder.errors import Conflict
from rebuilder.isolation import together
from rebuilder.ports.ledger import DecisionRecord, Retired

DECISIONS = "rebuilderdecisions"
REBUILDS = "rebuilderrebuilds"
OUTPUTS = "rebuilderoutputs"

_UNSETTLED = "unsettled"
_THERE = 409
_OLD_DECISION = 64  # characters of the keys of version 0.1.0's decisions
_WALKED = (PUSHES, DAYS, IGNORED, DECISIONS, REBUILDS)


class TableLedger(TableEvents):
    """A Ledger; see rebuilder.ports."""

    tables = (PUSHES, DAYS, IGNORED, DECISIONS, REBUILDS, UNSETTLED, OUTPUTS)

    # Decisions

    def record_decisions(self, push: Push, decisions: Sequence[Decision], at: datetime) -> None:
        """Remember decisions; see Ledger."""
        entities: dict[str, Entity] = {}
        for number, decision in enumerate(decisions):
            entity = decision_entity(push, decision, at, number)
            entities[str(entity["RowKey"])] = entity
        creations: list[Operation] = [("create", entity, {}) for entity in entities.values()]
        with translated("record decisions"):
            for batch in batches(creations):
                try:
                    self._tables.submit(DECISIONS, batch)
                except TableTransactionError as error:
                    if error.status_code != _THERE:
                        raise
                    together(self._decided_again, [entity for _, entity, _ in batch])

    def _decided_again(self, entity: Entity) -> None:
        """Store a decision that may be there: then only the time of the last one changes."""
        table = self._tables.table(DECISIONS)
        keys = {name: entity[name] for name in ("PartitionKey", "RowKey")}
        while True:
            try:
                change = {**keys, "last_at": entity["last_at"]}
                table.update_entity(change, mode=UpdateMode.MERGE)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):
                    table.create_entity(entity)
                    return
            else:
                return

    def decisions(self, push: Push, task: TaskId | None = None) -> list[DecisionRecord]:
        """Return the decisions of a push; see Ledger."""
        partition = key(push.key)
        with translated("read decisions"):
            if task is not None and self._tables.version.filed:
                beginning = key(str(task))[:HASH]
                below = beginning + HIGHEST
                entities = self._tables.span(DECISIONS, partition, beginning, below)
            else:
                entities = self._tables.partition(DECISIONS, partition)
        entities.sort(key=lambda entity: (time_of(entity["first_at"]), int(entity["place"])))
        found: dict[Decision, DecisionRecord] = {}
        for record in readable(decision_of, entities):
            # Version 0.1.0 kept the same decision under another key.
            before = found.get(record.decision, record)
            last_at = max(before.last_at, record.last_at)
            found[record.decision] = replace(before, last_at=last_at)
        return [
            record
            for record in found.values()
            if task is None
            or (isinstance(record.decision, TaskDecision) and record.decision.task == task)
        ]

    # Rebuilds

    def head(self, task: TaskId) -> Rebuild | None:
        """Return the newest rebuild of a task; see Ledger."""
        found = self._rebuilds_of(task, "", 1)
        return rebuild_from_text(joined(found[0])) if found else None

    def heads(self, tasks: Collection[TaskId]) -> dict[TaskId, Rebuild]:
        """Return the newest rebuild of each task; see Ledger."""
        with translated(f"read the newest rebuilds of {len(tasks)} task(s)"):
            found = newest_rows(self._tables, REBUILDS, [key(str(task)) for task in tasks])
        return {head.task: head for head in readable(rebuild_of, found)}

    def _rebuilds_of(self, task: TaskId, above: str, limit: int) -> list[Entity]:
        with translated(f"read the rebuilds of {task}"):
            return self._tables.span(REBUILDS, key(str(task)), above, HIGHEST, limit)

    def claim(self, rebuild: Rebuild) -> bool:
        """Store a new rebuild; see Ledger."""
        self._note(None, rebuild)
        with translated(f"claim rebuild {rebuild.id} of {rebuild.task}"):
            return bool(self._tables.change(REBUILDS, rebuild_entity(rebuild), ""))

    def save(self, rebuild: Rebuild) -> Rebuild:
        """Store a change of a rebuild; see Ledger."""
        saved = replace(rebuild, version=rebuild.version + 1)
        entity = rebuild_entity(saved)
        conflict = Conflict(f"rebuild {rebuild.id} of {rebuild.task} was changed by another")
        with translated(f"save rebuild {rebuild.id} of {rebuild.task}"):
            known, etag = self._tables.read(REBUILDS, entity["PartitionKey"], entity["RowKey"])
            before = rebuild_of(known) if known else None
            if before is None or before.version != rebuild.version:
                raise conflict
            self._note(before, saved)
            if not self._tables.change(REBUILDS, entity, etag):
                raise conflict
        if before.unsettled and not saved.unsettled:
            self._settle(saved)
        return saved

    def rebuild(self, task: TaskId, sequence: int) -> Rebuild | None:
        """Return one rebuild; see Ledger."""
        with translated(f"read rebuild {sequence} of {task}"):
            entity, _ = self._tables.read(REBUILDS, key(str(task)), rebuild_row(sequence))
        return rebuild_of(entity) if entity else None

    def rebuilds(self, task: TaskId, limit: int = 20, before: int | None = None) -> list[Rebuild]:
        """Return the newest rebuilds of a task; see Ledger."""
        above = "" if before is None else rebuild_row(before - 1)
        return list(readable(rebuild_of, self._rebuilds_of(task, above, limit)))

    def newest_success(self, task: TaskId) -> Rebuild | None:
        """Return the newest rebuild that succeeded; see Ledger."""
        with translated(f"read the rebuilds of {task}"):
            query = "PartitionKey eq @key and state eq 'succeeded'"
            found = self._tables.query(REBUILDS, query, {"key": key(str(task))}, 1)
        return rebuild_of(found[0]) if found else None

    def unsettled(self, *, tidy: bool = False) -> list[Rebuild]:
        """Return what something is still to happen to; see Ledger."""
        with translated("read unsettled rebuilds"):
            notes = self._tables.partition(UNSETTLED, _UNSETTLED)
        return self._noted(notes, tidy=tidy)

    def unsettled_after(self, task: TaskId) -> list[Rebuild]:
        """Return the unsettled rebuilds that a task led to; see Ledger."""
        with translated(f"read what {task} has led to"):
            notes = self._tables.partition(UNSETTLED, _chain(str(task)))
        return self._noted(notes, tidy=False)

    def _noted(self, notes: Sequence[Entity], *, tidy: bool) -> list[Rebuild]:
        def read(note: Entity) -> Entity:
            sequence, task = int(note["sequence"]), str(note["task"])
            with translated(f"read rebuild {sequence} of {task}"):
                return self._tables.read(REBUILDS, key(task), rebuild_row(sequence))[0]

        # A note without its rebuild may belong to a claim that is being made.
        found = list(readable(rebuild_of, filter(None, together(read, notes))))
        if tidy:
            chained = {(note["task"], note["sequence"]) for note in notes if "chained" in note}
            for rebuild in found:
                if not rebuild.unsettled:
                    self._settle(rebuild)  # whoever settled it came no further
                elif (str(rebuild.task), rebuild.sequence) not in chained:
                    self._note(None, rebuild)  # version 0.1.0 kept no chains
        return sorted(
            (rebuild for rebuild in found if rebuild.unsettled),
            key=lambda rebuild: (rebuild.task, rebuild.sequence),
        )

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

    def retire(self, before: datetime, place: str) -> Retired:
        """Forget some of what is old; see Ledger."""
        at = Place.read(place, _WALKED[0])
        state: Mapping[str, object] = {}
        with translated(f"retire what is old of {at.table}"):
            filed = self._tables.version.filed
            query, parameters = "", {}
            if at.table == DAYS:
                query, parameters = "PartitionKey lt @day", {"day": _deliveries.day(before)}
            elif at.table != REBUILDS and filed:
                query, parameters = "last_at lt @before", {"before": time_text(before)}
            entities, token = page(self._tables, at, query, parameters)
            if at.table == REBUILDS:
                going, state = old_rebuilds(entities, at.state, before)
                self._forget_outputs(rebuild for _, rebuild in going)
                old = [entity for entity, _ in going]
            elif at.table == DAYS:
                old = entities
            else:
                old = [entity for entity in entities if time_of(entity["last_at"]) < before]
                if not filed:
                    young = (e for e in entities if time_of(e["last_at"]) >= before)
                    together(lambda entity: self._file(at.table, entity), young)
            removed = remove(self._tables, at.table, old)
            if token:
                return Retired(removed, Place(at.table, token, state).write())
            following = _WALKED[_WALKED.index(at.table) + 1 :]
            if following:
                return Retired(removed, Place(following[0]).write())
            if not filed:
                self._tables.version.mark_filed()
        return Retired(removed, "")

    def _file(self, table: str, entity: Entity) -> None:
        """Let a record of version 0.1.0 be found as those of this one are."""
        if table == DECISIONS:
            if len(str(entity["RowKey"])) == _OLD_DECISION:
                self._file_decision(entity)
            return
        if _deliveries.is_beside(entity) or entity.get(_deliveries.FILED):
            return
        if table == PUSHES:
            self.upsert(DAYS, [_deliveries.day_row(entity)])
            _deliveries.file(self._tables, entity, _deliveries.pushed(_deliveries.push_of(entity)))
        else:
            _deliveries.file(self._tables, entity, _deliveries.about_repository(entity))

    def _file_decision(self, entity: Entity) -> None:
        text = joined(entity)
        for decision in readable(decision_from_text, [text]):
            filed = {**entity, "RowKey": decision_row(decision, text)}
            del filed["etag"]
            with suppress(ResourceExistsError):  # it was made again since
                self._tables.table(DECISIONS).create_entity(filed)
            remove(self._tables, DECISIONS, [entity])

    def _forget_outputs(self, rebuilds: Iterable[Rebuild]) -> None:
        table = self._tables.table(OUTPUTS)
        for keys in output_rows(rebuilds):
            with suppress(ResourceNotFoundError):
                table.delete_entity(*keys)

    def _note(self, before: Rebuild | None, rebuild: Rebuild) -> None:
        """Keep what is looked up of a rebuild otherwise than by its task, before the rebuild."""
        about = {"task": str(rebuild.task), "sequence": rebuild.sequence}
        row = _note_row(rebuild)
        with translated(f"note rebuild {rebuild.id} of {rebuild.task}"):
            if rebuild.unsettled and not (before is not None and before.unsettled):
                for member in rebuild.chain:
                    self.upsert(
                        UNSETTLED, [{"PartitionKey": _chain(member), "RowKey": row, **about}]
                    )
                note = {"PartitionKey": _UNSETTLED, "RowKey": row, **about, "chained": True}
                self.upsert(UNSETTLED, [note])
            known = () if before is None else before.output_images
            for image in set(rebuild.output_images).difference(known):
                self.upsert(OUTPUTS, [{"PartitionKey": key(image.lower()), "RowKey": row, **about}])

    def _settle(self, rebuild: Rebuild) -> None:
        row = _note_row(rebuild)
        with translated(f"settle rebuild {rebuild.id} of {rebuild.task}"):
            table = self._tables.table(UNSETTLED)
            for partition in (*map(_chain, rebuild.chain), _UNSETTLED):
                with suppress(ResourceNotFoundError):
                    table.delete_entity(partition, row)


def _chain(member: str) -> str:
    """Return the partition of the unsettled rebuilds that a task led to."""
    return f"chain-{key(member)}"


def _note_row(rebuild: Rebuild) -> str:
    return key(str(rebuild.task), str(rebuild.sequence))
