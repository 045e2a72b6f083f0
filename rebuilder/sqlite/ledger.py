"""The ledger in a SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path

from rebuilder._records import rebuild_from_text, rebuild_to_text
from rebuilder.core.decisions import Decision, from_record, to_record
from rebuilder.core.events import Ignored, Push
from rebuilder.core.rebuilds import Rebuild
from rebuilder.core.registries import PushedRegistry, TaskId
from rebuilder.errors import Conflict
from rebuilder.ports import DecisionRecord, IgnoredRecord, PushRecord
from rebuilder.sqlite._database import Database

_VARIABLES = 500  # of one statement; every SQLite allows 999


class SqliteLedger:
    """A Ledger; see rebuilder.ports.

    Args:
        path: The file; made on first use.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def record_push(self, push: Push, at: datetime) -> None:
        """Remember a delivery; see Ledger."""
        time = at.isoformat()
        pushed_at = push.pushed_at.isoformat() if push.pushed_at else None
        repository = f"{push.registry}|{push.repository}"
        with self._database.statement() as db:
            db.execute(
                "INSERT INTO pushes VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT (push) DO UPDATE"
                " SET last_at = excluded.last_at, deliveries = deliveries + 1",
                (push.key, repository, pushed_at, push.event, time, time),
            )

    def record_ignored(self, ignored: Ignored, at: datetime) -> None:
        """Remember an event that started nothing; see Ledger."""
        time, source = at.isoformat(), ignored.source.lower()
        with self._database.statement() as db:
            db.execute(
                "INSERT INTO ignored VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE"
                " SET last_at = excluded.last_at, deliveries = deliveries + 1",
                (source, ignored.subject, ignored.code, ignored.sentence(), time, time),
            )

    def record_decisions(self, push: Push, decisions: Sequence[Decision], at: datetime) -> None:
        """Remember decisions; see Ledger."""
        time = at.isoformat()
        rows = [
            (push.key, json.dumps(to_record(decision), sort_keys=True), time, time)
            for decision in decisions
        ]
        with self._database.transaction() as db:
            db.executemany(
                "INSERT INTO decisions VALUES (?, ?, ?, ?) ON CONFLICT (push, record) DO UPDATE"
                " SET last_at = excluded.last_at",
                rows,
            )

    def pushes(self, registry: PushedRegistry, repository: str) -> list[PushRecord]:
        """Return the pushes to a repository; see Ledger."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT push, pushed_at, event, first_at, last_at, deliveries FROM pushes"
                " WHERE repository = ? ORDER BY last_at DESC, rowid DESC",
                (f"{registry}|{repository}",),
            ).fetchall()
        return [_push(row) for row in rows]

    def pushes_between(self, since: datetime, until: datetime) -> list[PushRecord]:
        """Return the pushes of a time span; see Ledger."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT push, pushed_at, event, first_at, last_at, deliveries FROM pushes"
                " WHERE first_at >= ? AND first_at < ? ORDER BY first_at, rowid",
                (since.astimezone(UTC).isoformat(), until.astimezone(UTC).isoformat()),
            ).fetchall()
        return [_push(row) for row in rows]

    def ignored(self, source: str) -> list[IgnoredRecord]:
        """Return the ignored events of a source; see Ledger."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT code, sentence, source, subject, first_at, last_at, deliveries"
                " FROM ignored WHERE source = ? ORDER BY last_at DESC, rowid DESC",
                (source.lower(),),
            ).fetchall()
        return [
            IgnoredRecord(
                code,
                sentence,
                found,
                subject,
                datetime.fromisoformat(first_at),
                datetime.fromisoformat(last_at),
                deliveries,
            )
            for code, sentence, found, subject, first_at, last_at, deliveries in rows
        ]

    def decisions(self, push: Push) -> list[DecisionRecord]:
        """Return the decisions of a push; see Ledger."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT record, first_at, last_at FROM decisions WHERE push = ?"
                " ORDER BY first_at, rowid",
                (push.key,),
            ).fetchall()
        return [
            DecisionRecord(
                from_record(json.loads(record)),
                datetime.fromisoformat(first_at),
                datetime.fromisoformat(last_at),
            )
            for record, first_at, last_at in rows
        ]

    def head(self, task: TaskId) -> Rebuild | None:
        """Return the newest rebuild of a task; see Ledger."""
        found = self.rebuilds(task)
        return found[0] if found else None

    def heads(self, tasks: Collection[TaskId]) -> dict[TaskId, Rebuild]:
        """Return the newest rebuild of each task; see Ledger."""
        found: dict[TaskId, Rebuild] = {}
        with self._database.reading() as db:
            for some in batched(map(str, tasks), _VARIABLES, strict=False):
                marks = ", ".join("?" * len(some))
                # Of a row with the largest sequence, SQLite gives the other columns, too.
                rows = db.execute(
                    f"SELECT record, max(sequence) FROM rebuilds"  # noqa: S608 - question marks
                    f" WHERE task IN ({marks}) GROUP BY task",
                    some,
                )
                heads = (rebuild_from_text(record) for record, _ in rows)
                found |= {head.task: head for head in heads}
        return found

    def claim(self, rebuild: Rebuild) -> bool:
        """Store a new rebuild; see Ledger."""
        with self._database.transaction() as db:
            stored = db.execute(
                "INSERT OR IGNORE INTO rebuilds VALUES (?, ?, ?, ?)",
                (str(rebuild.task), rebuild.sequence, rebuild.version, rebuild_to_text(rebuild)),
            ).rowcount
            if stored:
                _note(db, rebuild)
        return stored == 1

    def save(self, rebuild: Rebuild) -> Rebuild:
        """Store a change of a rebuild; see Ledger."""
        saved = replace(rebuild, version=rebuild.version + 1)
        with self._database.transaction() as db:
            changed = db.execute(
                "UPDATE rebuilds SET version = ?, record = ?"
                " WHERE task = ? AND sequence = ? AND version = ?",
                (
                    saved.version,
                    rebuild_to_text(saved),
                    str(rebuild.task),
                    rebuild.sequence,
                    rebuild.version,
                ),
            ).rowcount
            if changed:
                _note(db, saved)
        if not changed:
            raise Conflict(f"rebuild {rebuild.id} of {rebuild.task} was changed by another")
        return saved

    def rebuild(self, task: TaskId, sequence: int) -> Rebuild | None:
        """Return one rebuild; see Ledger."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT record FROM rebuilds WHERE task = ? AND sequence = ?",
                (str(task), sequence),
            ).fetchone()
        return rebuild_from_text(row[0]) if row else None

    def rebuilds(self, task: TaskId) -> list[Rebuild]:
        """Return the rebuilds of a task; see Ledger."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT record FROM rebuilds WHERE task = ? ORDER BY sequence DESC", (str(task),)
            ).fetchall()
        return [rebuild_from_text(record) for (record,) in rows]

    def unsettled(self) -> list[Rebuild]:
        """Return what something is still to happen to; see Ledger."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT record FROM unsettled JOIN rebuilds USING (task, sequence)"
                " ORDER BY task, sequence"
            ).fetchall()
        return [rebuild_from_text(record) for (record,) in rows]

    def producer(self, image: str) -> Rebuild | None:
        """Return the newest rebuild that pushed an image; see Ledger."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT record FROM outputs JOIN rebuilds USING (task, sequence)"
                " WHERE image = ? ORDER BY finished_at DESC LIMIT 1",
                (image.lower(),),
            ).fetchone()
        return rebuild_from_text(row[0]) if row else None


def _push(row: tuple[str, str | None, str, str, str, int]) -> PushRecord:
    key, pushed_at, event, first_at, last_at, deliveries = row
    return PushRecord(
        replace(
            Push.from_key(key),
            pushed_at=datetime.fromisoformat(pushed_at) if pushed_at else None,
            event=event,
        ),
        datetime.fromisoformat(first_at),
        datetime.fromisoformat(last_at),
        deliveries,
    )


def _note(db: sqlite3.Connection, rebuild: Rebuild) -> None:
    """Keep what is looked up of a rebuild otherwise than by its task."""
    row = (str(rebuild.task), rebuild.sequence)
    if rebuild.unsettled:
        db.execute("INSERT OR IGNORE INTO unsettled VALUES (?, ?)", row)
    else:
        db.execute("DELETE FROM unsettled WHERE task = ? AND sequence = ?", row)
    finished = (rebuild.finished_at or rebuild.claimed_at).astimezone(UTC).isoformat()
    db.executemany(
        "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?)",
        [(image.lower(), *row, finished) for image in rebuild.output_images],
    )
