"""Dead letters in a SQLite file."""

from __future__ import annotations

from datetime import datetime

from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.times import time_text
from rebuilder.ports.ledger import Retired
from rebuilder.sqlite._database import FileStore


class SqliteDeadLetters(FileStore):
    """A DeadLetters; see rebuilder.ports."""

    def record_failure(self, queue: str, body: str, reason: str, at: datetime) -> None:
        """Remember why a message could not be worked off; see DeadLetters."""
        with self._database.statement() as db:
            row = (queue, body, reason, time_text(at))
            db.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)", row)

    def failure(self, queue: str, body: str) -> str | None:
        """Return the last reason; see DeadLetters."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT reason FROM failures WHERE queue = ? AND body = ?", (queue, body)
            ).fetchone()
        return str(row[0]) if row else None

    def record(self, letter: DeadLetter) -> None:
        """Keep a dead letter; see DeadLetters."""
        with self._database.statement() as db:
            db.execute(
                "INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, NULL) ON CONFLICT (id)"
                " DO UPDATE SET reason = excluded.reason, at = excluded.at, replayed_at = NULL"
                " WHERE replayed_at IS NOT NULL AND replayed_at < excluded.at",
                (
                    letter.id,
                    letter.origin.value,
                    letter.source,
                    letter.body,
                    letter.reason,
                    time_text(letter.at),
                ),
            )

    def all(self) -> list[DeadLetter]:
        """Return every dead letter; see DeadLetters."""
        return self._letters("ORDER BY at, rowid")

    def waiting(self) -> list[DeadLetter]:
        """Return those that nobody has replayed; see DeadLetters."""
        return self._letters("WHERE replayed_at IS NULL ORDER BY at, rowid")

    def letter(self, letter_id: str) -> DeadLetter | None:
        """Return one; see DeadLetters."""
        found = self._letters("WHERE id = ?", letter_id)
        return found[0] if found else None

    def _letters(self, which: str, *values: str) -> list[DeadLetter]:
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT origin, source, body, reason, at, replayed_at FROM dead_letters {which}",  # noqa: S608 - ours
                values,
            ).fetchall()
        return [
            DeadLetter(
                Origin(origin),
                source,
                body,
                reason,
                datetime.fromisoformat(at),
                datetime.fromisoformat(replayed_at) if replayed_at else None,
            )
            for origin, source, body, reason, at, replayed_at in rows
        ]

    def mark_replayed(self, letter_id: str, at: datetime) -> None:
        """Remember that a dead letter was replayed; see DeadLetters."""
        with self._database.statement() as db:
            db.execute(
                "UPDATE dead_letters SET replayed_at = ? WHERE id = ?", (time_text(at), letter_id)
            )

    def remove(self, letter_id: str) -> None:
        """Forget a dead letter for good; see DeadLetters."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM dead_letters WHERE id = ?", (letter_id,))

    def retire(self, before: datetime, place: str) -> Retired:
        """Forget some of what failed or was replayed long ago; see DeadLetters."""
        del place
        time = time_text(before)
        removed = self._database.delete_some("failures", "at < ?", time)
        removed += self._database.delete_some("dead_letters", "replayed_at < ?", time)
        return Retired(removed, "more" if removed else "")
