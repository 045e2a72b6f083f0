"""The index of dependencies in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.dependencies.evidence import TaskView
from rebuilder.core.dependencies.index import IndexedTask, IndexScan, pushing_to, repositories
from rebuilder.core.rebuilds.records import readable, view_from_text, view_to_text
from rebuilder.core.times import time_text
from rebuilder.ports.index import IndexPage
from rebuilder.sqlite._database import FileStore

# How long it is remembered that a task is gone: longer than whoever read it before may take.
_GONE = timedelta(hours=1)


class SqliteIndex(FileStore):
    """A DependencyIndex; see rebuilder.ports."""

    def dependents(self, repository: str) -> list[IndexedTask]:
        """Return the tasks that name a repository; see DependencyIndex."""
        return self._found(
            "SELECT record, read_at FROM dependents JOIN views USING (task)"
            " WHERE repository = ? AND record IS NOT NULL ORDER BY task",
            repository,
        )

    def producers(self, repository: str) -> list[IndexedTask]:
        """Return the tasks that push to a repository; see DependencyIndex."""
        return self.dependents(pushing_to(repository))

    def view(self, task: TaskId) -> IndexedTask | None:
        """Return what is known of a task; see DependencyIndex."""
        found = self._found(
            "SELECT record, read_at FROM views WHERE task = ? AND record IS NOT NULL", str(task)
        )
        return found[0] if found else None

    def views(self, registry: RegistryId) -> list[IndexedTask]:
        """Return what is known of every task of a registry; see DependencyIndex."""
        return self._found(
            "SELECT record, read_at FROM views"
            " WHERE registry = ? AND record IS NOT NULL ORDER BY task",
            str(registry),
        )

    def page(self, registry: RegistryId, after: str, limit: int) -> IndexPage:
        """Return what is known of some tasks; see DependencyIndex."""
        with self._database.reading() as db:
            rows = db.execute(
                # By the tasks' own names: those of a registry stand together.
                "SELECT record, read_at, task FROM views WHERE task > ? AND task < ?"
                " AND record IS NOT NULL ORDER BY task LIMIT ?",
                (after or f"{registry}/", f"{registry}0", limit),
            ).fetchall()
        found = readable(_indexed, ((record, read_at) for record, read_at, _ in rows))
        return IndexPage(tuple(found), rows[-1][2] if len(rows) == limit else "")

    def _found(self, query: str, key: str) -> list[IndexedTask]:
        with self._database.reading() as db:
            rows = db.execute(query, (key,)).fetchall()
        return list(readable(_indexed, rows))

    def replace(self, view: TaskView, at: datetime) -> bool:
        """Store what is known of a task; see DependencyIndex."""
        with self._database.transaction() as db:
            return _replace(db, view, at)

    def replace_many(self, views: Sequence[IndexedTask]) -> None:
        """Store what is known of many tasks; see DependencyIndex."""
        with self._database.transaction() as db:
            for indexed in views:
                _replace(db, indexed.view, indexed.read_at)

    def remove(self, task: TaskId, at: datetime) -> bool:
        """Forget a task; see DependencyIndex."""
        with self._database.transaction() as db:
            if not _store(db, task, at, None):
                return False
            db.execute("DELETE FROM dependents WHERE task = ?", (str(task),))
        return True

    def unseen(self, registry: RegistryId, since: datetime) -> list[TaskId]:
        """Return the tasks that were last read before; see DependencyIndex."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT task FROM views"
                " WHERE registry = ? AND read_at < ? AND record IS NOT NULL ORDER BY task",
                (str(registry), time_text(since)),
            ).fetchall()
        return [TaskId.parse(task) for (task,) in rows]

    def refreshed(self, registry: RegistryId) -> datetime | None:
        """Return when the last complete scan began; see DependencyIndex."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT refreshed_at FROM refreshes WHERE registry = ?", (str(registry),)
            ).fetchone()
        return datetime.fromisoformat(row[0]) if row and row[0] else None

    def refreshes(self) -> dict[RegistryId, datetime]:
        """Return when each registry was last swept; see DependencyIndex."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT registry, refreshed_at FROM refreshes WHERE refreshed_at IS NOT NULL"
            ).fetchall()
        return {RegistryId.parse(name): datetime.fromisoformat(time) for name, time in rows}

    def mark_refreshed(self, registry: RegistryId, at: datetime) -> None:
        """Remember that a scan is complete; see DependencyIndex."""
        time, possible = time_text(at), time_text(at + _GONE)
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO refreshes (registry, refreshed_at) VALUES (?, ?)"
                " ON CONFLICT (registry) DO UPDATE SET refreshed_at = CASE WHEN refreshed_at > ?"
                " THEN excluded.refreshed_at"
                " ELSE max(coalesce(refreshed_at, ''), excluded.refreshed_at) END",
                (str(registry), time, possible),
            )
            db.execute(
                "UPDATE refreshes SET started = NULL, after = NULL"
                " WHERE registry = ? AND (started <= ? OR started > ?)",
                (str(registry), time, possible),
            )
            db.execute(
                "DELETE FROM views WHERE registry = ? AND record IS NULL AND read_at < ?",
                (str(registry), time_text(at - _GONE)),
            )

    def scan(self, registry: RegistryId) -> IndexScan | None:
        """Return the scan that is not complete; see DependencyIndex."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT started, after FROM refreshes WHERE registry = ?", (str(registry),)
            ).fetchone()
        return (
            IndexScan(registry, datetime.fromisoformat(row[0]), row[1]) if row and row[0] else None
        )

    def save_scan(self, scan: IndexScan) -> None:
        """Remember how far a scan has come; see DependencyIndex."""
        with self._database.statement() as db:
            db.execute(
                "INSERT INTO refreshes (registry, started, after) VALUES (?, ?, ?)"
                " ON CONFLICT (registry) DO UPDATE"
                " SET started = excluded.started, after = excluded.after",
                (str(scan.registry), time_text(scan.started), scan.after),
            )


def _indexed(row: tuple[str, str]) -> IndexedTask:
    record, read_at = row
    return IndexedTask(view_from_text(record), datetime.fromisoformat(read_at))


def _replace(db: sqlite3.Connection, view: TaskView, at: datetime) -> bool:
    if not _store(db, view.task, at, view_to_text(view)):
        return False
    task = str(view.task)
    db.execute("DELETE FROM dependents WHERE task = ?", (task,))
    db.executemany(
        "INSERT INTO dependents VALUES (?, ?)",
        [(repository, task) for repository in repositories(view)],
    )
    return True


def _store(db: sqlite3.Connection, task: TaskId, at: datetime, record: str | None) -> bool:
    """Store a task's record, None if it is gone, unless what is there was read later."""
    stored = db.execute(
        "INSERT INTO views VALUES (?, ?, ?, ?) ON CONFLICT (task) DO UPDATE"
        " SET read_at = excluded.read_at, record = excluded.record"
        # What was read an hour after now was not: a clock was wrong.
        " WHERE read_at <= excluded.read_at OR read_at > ?",
        (str(task), str(task.registry), time_text(at), record, time_text(at + _GONE)),
    ).rowcount
    return stored == 1
