"""Bookmarks in an Azure Storage table."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

from rebuilder.azure._errors import translated
from rebuilder.azure._tables import (
    REPLACE,
    UNCHANGED,
    Entity,
    TableStore,
    joined,
    key,
    split,
    time_of,
    time_text,
)
from rebuilder.core.bookmarks import Bookmark
from rebuilder.errors import Conflict

BOOKMARKS = "rebuilderbookmarks"

_PARTITION = "bookmarks"


class TableBookmarks(TableStore):
    """A Bookmarks; see rebuilder.ports."""

    tables = (BOOKMARKS,)

    def read(self, name: str) -> Bookmark:
        """Return a bookmark; see Bookmarks."""
        with translated(f"read bookmark {name}"):
            try:
                found = self._tables.table(BOOKMARKS).get_entity(_PARTITION, key(name))
            except ResourceNotFoundError:
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
        conflict = Conflict(f"bookmark {bookmark.name} was changed by another")
        with translated(f"save bookmark {bookmark.name}"):
            table = self._tables.table(BOOKMARKS)
            try:
                if not bookmark.version:
                    self._tables.written(BOOKMARKS, lambda table: table.create_entity(entity))
                    return saved
                known = table.get_entity(_PARTITION, entity["RowKey"])
                if int(known["version"]) != bookmark.version:
                    raise conflict
                table.update_entity(entity, **REPLACE, **UNCHANGED, etag=known.metadata["etag"])
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError) as error:
                raise conflict from error
        return saved


def _time(value: object) -> datetime | None:
    return time_of(value) if value else None
