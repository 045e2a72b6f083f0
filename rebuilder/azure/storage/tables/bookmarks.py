"""Bookmarks in an Azure Storage table."""

from __future__ import annotations

from collections.abc import Mapping
from copy import replace
from datetime import UTC, datetime

from rebuilder.azure._errors import translated
from rebuilder.azure.storage.tables._retirement import Place, page, remove
from rebuilder.azure.storage.tables._tables import (
    Entity,
    TableStore,
    joined,
    key,
    split,
    time_of,
)
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.times import time_text
from rebuilder.errors import Conflict
from rebuilder.ports.ledger import Retired

BOOKMARKS = "rebuilderbookmarks"

_PARTITION = "bookmarks"


class TableBookmarks(TableStore):
    """A Bookmarks; see rebuilder.ports."""

    tables = (BOOKMARKS,)

    def read(self, name: str) -> Bookmark:
        """Return a bookmark; see Bookmarks."""
        with translated(f"read bookmark {name}"):
            found, _ = self._tables.read(BOOKMARKS, _PARTITION, key(name))
        if not found:
            return Bookmark(name)
        return Bookmark(
            name,
            joined(found),
            str(found["owner"]),
            _time(found["lease_until"]),
            int(found["version"]),
            # Version 0.1.0 kept all of them for ever.
            _time(found.get("kept_until", "")),
        )

    def save(self, bookmark: Bookmark) -> Bookmark:
        """Store a change of a bookmark; see Bookmarks."""
        saved = replace(bookmark, version=bookmark.version + 1)
        entity: Entity = {
            "PartitionKey": _PARTITION,
            "RowKey": key(saved.name),
            "name": saved.name,
            "owner": saved.owner,
            "lease_until": time_text(saved.lease_until) if saved.lease_until else "",
            "kept_until": time_text(saved.kept_until) if saved.kept_until else "",
            "version": saved.version,
            **split(saved.place),
        }
        with translated(f"save bookmark {bookmark.name}"):
            etag = self._read_at(bookmark) if bookmark.version else ""
            kept = (etag or not bookmark.version) and self._tables.change(BOOKMARKS, entity, etag)
        if not kept:
            raise Conflict(f"bookmark {bookmark.name} was changed by another")
        return saved

    def _read_at(self, bookmark: Bookmark) -> str:
        """Return the version in the table of what a bookmark was read from; "" if it is gone."""
        known, etag = self._tables.read(BOOKMARKS, _PARTITION, key(bookmark.name))
        return etag if known and int(known["version"]) == bookmark.version else ""

    def retire(self, now: datetime, place: str) -> Retired:
        """Forget some of what is kept until now; see Bookmarks."""
        at = Place.read(place, BOOKMARKS)
        with translated("retire old bookmarks"):
            query = "kept_until gt '' and kept_until lt @now"
            if not self._tables.version.filed:
                # Nobody knows until when those of version 0.1.0 that count waits are to be kept:
                # one that is missing is counted again.
                query = f"( {query} ) or ( name ge 'wait/' and name lt 'wait0' )"
            entities, token = page(self._tables, at, query, {"now": time_text(now)})
            old = [entity for entity in entities if _kept_until(entity, now) < now]
            removed = remove(self._tables, BOOKMARKS, old)
        return Retired(removed, Place(BOOKMARKS, token).write() if token else "")


def _time(value: object) -> datetime | None:
    return time_of(value) if value else None


def _kept_until(entity: Mapping[str, object], now: datetime) -> datetime:
    kept = entity.get("kept_until")
    if kept is None:
        return datetime.min.replace(tzinfo=UTC)
    return _time(kept) or now
