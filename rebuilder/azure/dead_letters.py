"""Dead letters in Azure Storage tables."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime

from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import UpdateMode

from rebuilder.azure._errors import translated
from rebuilder.azure._tables import Entity, TableStore, joined, key, split
from rebuilder.core.dead_letters import DeadLetter, Origin

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
            "at": at.isoformat(),
            **split(reason),
        }
        with translated("record a failure"):
            self._tables.written(
                FAILURES, lambda table: table.upsert_entity(entity, mode=UpdateMode.REPLACE)
            )

    def failure(self, queue: str, body: str) -> str | None:
        """Return the last reason; see DeadLetters."""
        with translated("read a failure"):
            try:
                return joined(self._tables.table(FAILURES).get_entity(queue, key(body)))
            except ResourceNotFoundError:
                return None

    def record(self, letter: DeadLetter) -> None:
        """Keep a dead letter; see DeadLetters."""
        values = {"source": letter.source, "body": letter.body, "reason": letter.reason}
        entity: Entity = {
            "PartitionKey": _PARTITION,
            "RowKey": letter.id,
            "origin": letter.origin.value,
            "at": letter.at.isoformat(),
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
            table = self._tables.table(DEAD_LETTERS)
            known = table.get_entity(_PARTITION, letter.id)
            replayed = str(known["replayed_at"])
            if replayed and datetime.fromisoformat(replayed) < letter.at:
                table.update_entity(entity, mode=UpdateMode.REPLACE)

    def all(self) -> list[DeadLetter]:
        """Return every dead letter; see DeadLetters."""
        with translated("read dead letters"):
            entities = self._tables.partition(DEAD_LETTERS, _PARTITION)
        return sorted(map(_letter, entities), key=lambda letter: letter.at)

    def mark_replayed(self, letter_id: str, at: datetime) -> None:
        """Remember that a dead letter was replayed; see DeadLetters."""
        table = self._tables.table(DEAD_LETTERS)
        with translated(f"mark dead letter {letter_id}"):
            while True:
                try:
                    known = table.get_entity(_PARTITION, letter_id)
                except ResourceNotFoundError:
                    return
                known["replayed_at"] = at.isoformat()
                try:
                    table.update_entity(
                        known,
                        mode=UpdateMode.REPLACE,
                        etag=known.metadata["etag"],
                        match_condition=MatchConditions.IfNotModified,
                    )
                except ResourceModifiedError:
                    continue
                return

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
        datetime.fromisoformat(str(entity["at"])),
        datetime.fromisoformat(replayed) if replayed else None,
    )
