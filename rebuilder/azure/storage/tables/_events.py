"""Events in the ledger in Azure Storage tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from azure.core.exceptions import ResourceNotFoundError

from rebuilder.azure._errors import translated
from rebuilder.azure.storage.tables import _deliveries
from rebuilder.azure.storage.tables._deliveries import DAYS, IGNORED, PUSHES
from rebuilder.azure.storage.tables._tables import (
    REPLACE,
    Entity,
    TableStore,
    batches,
    key,
    rising,
    time_of,
)
from rebuilder.core.acr.registries import PushedRegistry
from rebuilder.core.events.pushes import Ignored, Push
from rebuilder.core.times import time_text
from rebuilder.isolation import together
from rebuilder.ports.ledger import FirstDelivery, IgnoredRecord, PushRecord

UNSETTLED = "rebuilderunsettled"

_UNPLANNED = "unplanned"  # the other large partition of that table; the small ones are of chains
_DAY = timedelta(days=1)
HIGHEST = "~"
"""Sorts after every character of a key."""


class TableEvents(TableStore):
    """What a Ledger knows of events; see rebuilder.ports."""

    def record_events(self, events: Sequence[Push | Ignored], at: datetime) -> None:
        """Remember deliveries; see Ledger."""
        pushes = {event.key: event for event in events if isinstance(event, Push)}
        rows = [
            _deliveries.pushed(event) if isinstance(event, Push) else _deliveries.set_aside(event)
            for event in events
        ]
        with translated("record events"):
            # First, so that whatever interrupts this, a push that is there and was never planned
            # is noted.
            self.upsert(UNSETTLED, [_unplanned(push, at) for push in pushes.values()])
            now = _deliveries.count(self._tables, rows, at)
            days = [_deliveries.day_row(entity) for entity in now if "push" in entity]
            together(lambda some: self.upsert(DAYS, some), _by_partition(days))

    def planned(self, push: Push) -> None:
        """Remember that a push is planned; see Ledger."""
        with translated("note that a push is planned"), suppress(ResourceNotFoundError):
            self._tables.table(UNSETTLED).delete_entity(_UNPLANNED, key(push.key))

    def unplanned(self) -> list[PushRecord]:
        """Return the pushes that are not planned; see Ledger."""
        with translated("read which pushes are not planned"):
            notes = self._tables.partition(UNSETTLED, _UNPLANNED)
        found = together(lambda note: self.push(str(note["push"])), notes)
        # A note without its push is of an event that is being recorded.
        return sorted(filter(None, found), key=lambda record: record.first_at)

    def push(self, key: str) -> PushRecord | None:
        """Return one push; see Ledger."""
        keys = _deliveries.pushed(Push.from_key(key)).keys
        with translated("read a push"):
            found, _ = self._tables.read(PUSHES, *keys)
        return _deliveries.push_record(found) if found else None

    def pushes(
        self, registry: PushedRegistry, repository: str, tag: str, limit: int = 20
    ) -> list[PushRecord]:
        """Return the pushes of a tag; see Ledger."""
        partition = _deliveries.repository_key(registry, repository)
        found = self._newest(PUSHES, partition, _deliveries.by_tag(tag), limit)
        records = map(_deliveries.push_record, found)
        return [record for record in records if record.push.tag == tag][:limit]

    def pushes_of(
        self, registry: PushedRegistry, repository: str, digest: str, limit: int = 20
    ) -> list[PushRecord]:
        """Return the pushes of a digest; see Ledger."""
        partition = _deliveries.repository_key(registry, repository)
        found = self._newest(PUSHES, partition, _deliveries.by_digest(digest), limit)
        records = map(_deliveries.push_record, found)
        return [record for record in records if record.push.digest == digest][:limit]

    def ignored(self, source: str, repository: str, limit: int = 20) -> list[IgnoredRecord]:
        """Return the ignored events about a repository; see Ledger."""
        beginning = _deliveries.by_repository(repository)
        found = self._newest(IGNORED, key(source.lower()), beginning, limit)
        about = (e for e in found if _deliveries.about_repository(e).beside == (beginning,))
        return [_deliveries.ignored_record(entity) for entity in about][:limit]

    def _newest(self, table: str, partition: str, beginning: str, limit: int) -> list[Entity]:
        """Return the rows beside whose keys begin so; until all is filed, every row of a partition.

        Version 0.1.0 made no rows beside.
        """
        with translated("read what was delivered"):
            if self._tables.version.filed:
                below = beginning + HIGHEST
                return self._tables.span(table, partition, beginning, below, limit)
            entities = self._tables.partition(table, partition)
        rows = [entity for entity in entities if not _deliveries.is_beside(entity)]
        return sorted(rows, key=lambda entity: time_of(entity["last_at"]), reverse=True)

    def pushes_between(self, since: datetime, until: datetime) -> list[FirstDelivery]:
        """Return the pushes of a time span; see Ledger."""
        found: dict[str, FirstDelivery] = {}
        with translated("read pushes"):
            days = [since + _DAY * number for number in range((until - since) // _DAY + 2)]
            for day in dict.fromkeys(_deliveries.day(min(day, until)) for day in days):
                span = (rising(since), rising(until))
                for entity in self._tables.span(DAYS, day, *span):
                    found.setdefault(str(entity["push"]), _deliveries.first_delivery(entity))
            if not self._tables.version.filed:
                for entity in self._tables.query(PUSHES, "", {}):
                    if not _deliveries.is_beside(entity):
                        found[str(entity["push"])] = _deliveries.first_delivery(entity)
        within = (delivery for delivery in found.values() if since <= delivery.at < until)
        return sorted(within, key=lambda delivery: delivery.at)

    def upsert(self, table: str, entities: Sequence[Entity]) -> None:
        """Write entities of one partition."""
        if len(entities) == 1:
            self._tables.written(table, lambda client: client.upsert_entity(entities[0], **REPLACE))
            return
        for batch in batches(("upsert", entity, REPLACE) for entity in entities):
            self._tables.submit(table, batch)


def _by_partition(entities: Iterable[Entity]) -> list[list[Entity]]:
    found: dict[str, list[Entity]] = {}
    for entity in entities:
        found.setdefault(entity["PartitionKey"], []).append(entity)
    return list(found.values())


def _unplanned(push: Push, at: datetime) -> Entity:
    row = key(push.key)
    return {"PartitionKey": _UNPLANNED, "RowKey": row, "push": push.key, "at": time_text(at)}
