"""Dead letters in Azure Storage tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from rebuilder.azure._errors import translated
from rebuilder.azure.storage.tables._retirement import Place, page, remove
from rebuilder.azure.storage.tables._tables import (
    REPLACE,
    Entity,
    TableStore,
    joined,
    key,
    split,
    time_of,
)
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.times import time_text
from rebuilder.ports.ledger import Retired

FAILURES = "rebuilderfailures"
DEAD_LETTERS = "rebuilderdeadletters"

_PARTITION = "letters"


class TableDeadLetters(TableStore):
    """A DeadLetters; see rebuilder.ports."""

    tables = (FAILURES, DEAD_LETTERS)

    def record_failure(self, queue: str, body: str, reason: str, at: datetime) -> None:
        """Remember why a message could not be worked off; see DeadLetters."""
        entity: Entity = {
            "PartitionKey": queue,
            "RowKey": key(body),
            "at": time_text(at),
            **split(reason),
        }
        with translated("record a failure"):
            self._tables.written(FAILURES, lambda table: table.upsert_entity(entity, **REPLACE))

    def failure(self, queue: str, body: str) -> str | None:
        """Return the last reason; see DeadLetters."""
        with translated("read a failure"):
            found, _ = self._tables.read(FAILURES, queue, key(body))
        return joined(found) if found else None

    def record(self, letter: DeadLetter) -> None:
        """Keep a dead letter; see DeadLetters."""
        values = {"source": letter.source, "body": letter.body, "reason": letter.reason}
        entity: Entity = {
            "PartitionKey": _PARTITION,
            "RowKey": letter.id,
            "origin": letter.origin.value,
            "at": time_text(letter.at),
            "replayed_at": "",
            **split(json.dumps(values)),
        }
        with translated(f"record dead letter {letter.id}"):
            try:
                self._tables.written(DEAD_LETTERS, lambda table: table.create_entity(entity))
            except ResourceExistsError:
                pass
            else:
                return

            def again(known: Entity) -> Entity | None:
                replayed = str(known["replayed_at"])
                return entity if replayed and time_of(replayed) < letter.at else None

            if not self._change(letter.id, again):
                self._tables.written(
                    DEAD_LETTERS, lambda table: table.upsert_entity(entity, **REPLACE)
                )

    def all(self) -> list[DeadLetter]:
        """Return every dead letter; see DeadLetters."""
        return self._letters("")

    def waiting(self) -> list[DeadLetter]:
        """Return those that nobody has replayed; see DeadLetters."""
        return self._letters("replayed_at eq ''")

    def _letters(self, more: str) -> list[DeadLetter]:
        with translated("read dead letters"):
            entities = self._tables.partition(DEAD_LETTERS, _PARTITION, more)
        return sorted(map(_letter, entities), key=lambda letter: letter.at)

    def letter(self, letter_id: str) -> DeadLetter | None:
        """Return one; see DeadLetters."""
        with translated(f"read dead letter {letter_id}"):
            found, _ = self._tables.read(DEAD_LETTERS, _PARTITION, letter_id)
        return _letter(found) if found else None

    def mark_replayed(self, letter_id: str, at: datetime) -> None:
        """Remember that a dead letter was replayed; see DeadLetters."""
        with translated(f"mark dead letter {letter_id}"):
            self._change(letter_id, lambda known: {**known, "replayed_at": time_text(at)})

    def retire(self, before: datetime, place: str) -> Retired:
        """Forget some of what failed or was replayed long ago; see DeadLetters."""
        at = Place.read(place, FAILURES)
        query = "replayed_at gt '' and replayed_at lt @before"
        if at.table == FAILURES:
            query = "at lt @before"
        with translated(f"retire what is old of {at.table}"):
            entities, token = page(self._tables, at, query, {"before": time_text(before)})
            removed = remove(self._tables, at.table, entities)
        if token:
            return Retired(removed, Place(at.table, token).write())
        following = Place(DEAD_LETTERS).write() if at.table == FAILURES else ""
        return Retired(removed, following)

    def _change(self, letter_id: str, change: Callable[[Entity], Entity | None]) -> bool:
        """Change a letter, as it is by then; tell whether it is there."""
        while True:
            known, etag = self._tables.read(DEAD_LETTERS, _PARTITION, letter_id)
            if not etag:
                return False
            changed = change(known)
            if changed is None or self._tables.change(DEAD_LETTERS, changed, etag):
                return True

    def remove(self, letter_id: str) -> None:
        """Forget a dead letter for good; see DeadLetters."""
        with translated(f"remove dead letter {letter_id}"), suppress(ResourceNotFoundError):
            self._tables.table(DEAD_LETTERS).delete_entity(_PARTITION, letter_id)


def _letter(entity: Entity) -> DeadLetter:
    values = json.loads(joined(entity))
    replayed = str(entity["replayed_at"])
    return DeadLetter(
        Origin(entity["origin"]),
        values["source"],
        values["body"],
        values["reason"],
        time_of(entity["at"]),
        time_of(replayed) if replayed else None,
    )
