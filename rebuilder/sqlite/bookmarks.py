"""Bookmarks in a SQLite file."""

from __future__ import annotations

from copy import replace
from datetime import datetime

from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.times import time_text
from rebuilder.errors import Conflict
from rebuilder.ports.ledger import Retired
from rebuilder.sqlite._database import FileStore


class SqliteBookmarks(FileStore):
    """A Bookmarks; see rebuilder.ports."""

    def read(self, name: str) -> Bookmark:
        """Return a bookmark; see Bookmarks."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT place, owner, lease_until, version, kept_until FROM bookmarks"
                " WHERE name = ?",
                (name,),
            ).fetchone()
        if row is None:
            return Bookmark(name)
        place, owner, until, version, kept = row
        return Bookmark(name, place, owner, _time(until), version, _time(kept))

    def save(self, bookmark: Bookmark) -> Bookmark:
        """Store a change of a bookmark; see Bookmarks."""
        saved = replace(bookmark, version=bookmark.version + 1)
        until, kept = (time and time_text(time) for time in (saved.lease_until, saved.kept_until))
        values = (saved.place, saved.owner, until, kept, saved.version, saved.name)
        with self._database.statement() as db:
            if bookmark.version:
                changed = db.execute(
                    "UPDATE bookmarks SET place = ?, owner = ?, lease_until = ?, kept_until = ?,"
                    " version = ? WHERE name = ? AND version = ?",
                    (*values, bookmark.version),
                ).rowcount
            else:
                changed = db.execute(
                    "INSERT OR IGNORE INTO bookmarks (place, owner, lease_until, kept_until,"
                    " version, name) VALUES (?, ?, ?, ?, ?, ?)",
                    values,
                ).rowcount
        if not changed:
            raise Conflict(f"bookmark {bookmark.name} was changed by another")
        return saved

    def retire(self, now: datetime, place: str) -> Retired:
        """Forget some of what is kept until now; see Bookmarks."""
        del place
        removed = self._database.delete_some("bookmarks", "kept_until < ?", time_text(now))
        return Retired(removed, "more" if removed else "")


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
