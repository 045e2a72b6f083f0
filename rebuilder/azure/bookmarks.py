"""Bookmarks in an Azure Storage table."""

from __future__ import annotations

from dataclasses import replace
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
        until = str(found["lease_until"])
        return Bookmark(
            name,
            joined(found),
            str(found["owner"]),
            datetime.fromisoformat(until) if until else None,
            int(found["version"]),
        )

    def save(self, bookmark: Bookmark) -> Bookmark:
        """Store a change of a bookmark; see Bookmarks."""
        saved = replace(bookmark, version=bookmark.version + 1)
        entity: Entity = {
            "PartitionKey": _PARTITION,
            "RowKey": key(saved.name),
            "name": saved.name,
            "owner": saved.owner,
            "lease_until": saved.lease_until.isoformat() if saved.lease_until else "",
            "version": saved.version,
            **split(saved.place),
        }
        conflict = Conflict(f"bookmark {bookmark.name} was changed by another")
        table = self._tables.table(BOOKMARKS)
        with translated(f"save bookmark {bookmark.name}"):
            try:
                if not bookmark.version:
                    self._tables.written(BOOKMARKS, lambda table: table.create_entity(entity))
                    return saved
                known = table.get_entity(_PARTITION, entity["RowKey"])
                if int(known["version"]) != bookmark.version:
                    raise conflict
                table.update_entity(
                    entity,
                    mode=UpdateMode.REPLACE,
                    etag=known.metadata["etag"],
                    match_condition=MatchConditions.IfNotModified,
                )
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError) as error:
                raise conflict from error
        return saved
