"""The ledger in a SQLite file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from copy import replace
from datetime import datetime

from rebuilder.core.acr.registries import PushedRegistry, TaskId
from rebuilder.core.decisions.decision import Decision
from rebuilder.core.events.pushes import Ignored, Push
from rebuilder.core.rebuilds.history import KEPT, may_go
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.core.rebuilds.records import (
    decision_to_text,
    readable,
    rebuild_from_text,
    rebuild_to_text,
)
from rebuilder.core.times import time_text
from rebuilder.errors import Conflict
from rebuilder.ports.ledger import DecisionRecord, FirstDelivery, IgnoredRecord, PushRecord, Retired
from rebuilder.sqlite._database import FileStore
from rebuilder.sqlite._rows import PUSH, about, columns, decision_of, note, push_of, reason_of

_COUNT_PUSH = (
    "INSERT INTO pushes (push, repository, tag, digest, pushed_at, event, first_at, last_at,"
    " deliveries, pushed_last) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (push) DO UPDATE"
    " SET first_at = min(first_at, excluded.first_at), last_at = excluded.last_at,"
    " deliveries = deliveries + excluded.deliveries, planned = 0,"
    " pushed_last = max(coalesce(pushed_last, last_at), excluded.pushed_last)"
)
_COUNT_IGNORED = (
    "INSERT INTO ignored (source, subject, repository, code, sentence, first_at, last_at,"
    " deliveries) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (source, subject, code, sentence) DO UPDATE SET"
    " first_at = min(first_at, excluded.first_at), last_at = excluded.last_at,"
    " deliveries = deliveries + excluded.deliveries"
)
_HEADS = (
    "SELECT (SELECT record FROM rebuilds WHERE task = value ORDER BY sequence DESC LIMIT 1)"
    " FROM json_each(?)"
)
_BEYOND_THE_NEWEST = (
    "SELECT sequence, record FROM rebuilds WHERE task = ? AND sequence > ? AND sequence <="
    " (SELECT sequence FROM rebuilds WHERE task = ? ORDER BY sequence DESC LIMIT 1 OFFSET ?)"
    " ORDER BY sequence LIMIT ?"
)
_LAST = 2**62  # no sequence is so high
_AGED = ("pushes", "ignored", "decisions")  # the tables whose rows are old by `last_at`
_REBUILDS = "rebuilds"
_TASKS = 100  # that are looked at together
_OLD = 500  # rebuilds of one task


class SqliteLedger(FileStore):
    """A Ledger; see rebuilder.ports."""

    def record_events(self, events: Sequence[Push | Ignored], at: datetime) -> None:
        """Remember deliveries; see Ledger."""
        time = time_text(at)
        pushes = Counter(event for event in events if isinstance(event, Push))
        ignored = Counter(reason_of(event) for event in events if isinstance(event, Ignored))
        with self._database.transaction() as db:
            db.executemany(
                _COUNT_PUSH,
                [
                    (*columns(push), time, time, count, time_text(push.pushed_by(at)))
                    for push, count in pushes.items()
                ],
            )
            db.executemany(
                _COUNT_IGNORED, [(*reason, time, time, count) for reason, count in ignored.items()]
            )

    def record_decisions(self, push: Push, decisions: Sequence[Decision], at: datetime) -> None:
        """Remember decisions; see Ledger."""
        time = time_text(at)
        rows = [
            (push.key, decision_to_text(decision), about(decision), time, time)
            for decision in decisions
        ]
        if not rows:
            return
        with self._database.transaction() as db:
            db.executemany(
                "INSERT INTO decisions (push, record, task, first_at, last_at)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (push, record) DO UPDATE"
                " SET last_at = excluded.last_at",
                rows,
            )

    def planned(self, push: Push) -> None:
        """Remember that a push is planned; see Ledger."""
        with self._database.statement() as db:
            db.execute("UPDATE pushes SET planned = 1 WHERE push = ?", (push.key,))

    def unplanned(self) -> list[PushRecord]:
        """Return the pushes that are not planned; see Ledger."""
        return self._pushes("WHERE planned = 0 ORDER BY first_at, rowid")

    def push(self, key: str) -> PushRecord | None:
        """Return one push; see Ledger."""
        found = self._pushes("WHERE push = ?", key)
        return found[0] if found else None

    def pushes(
        self, registry: PushedRegistry, repository: str, tag: str, limit: int = 20
    ) -> list[PushRecord]:
        """Return the pushes of a tag; see Ledger."""
        return self._pushes(
            "WHERE repository = ? AND tag = ? ORDER BY last_at DESC, rowid DESC LIMIT ?",
            f"{registry}|{repository}",
            tag,
            limit,
        )

    def pushes_of(
        self, registry: PushedRegistry, repository: str, digest: str, limit: int = 20
    ) -> list[PushRecord]:
        """Return the pushes of a digest; see Ledger."""
        return self._pushes(
            "WHERE repository = ? AND digest = ? ORDER BY last_at DESC, rowid DESC LIMIT ?",
            f"{registry}|{repository}",
            digest,
            limit,
        )

    def pushes_between(self, since: datetime, until: datetime) -> list[FirstDelivery]:
        """Return the pushes of a time span; see Ledger."""
        found = self._pushes(
            "WHERE first_at >= ? AND first_at < ? ORDER BY first_at, rowid",
            time_text(since),
            time_text(until),
        )
        return [FirstDelivery(record.push, record.first_at) for record in found]

    def _pushes(self, which: str, *values: object) -> list[PushRecord]:
        with self._database.reading() as db:
            rows = db.execute(f"SELECT {PUSH} FROM pushes {which}", values).fetchall()  # noqa: S608 - ours
        return [push_of(row) for row in rows]

    def ignored(self, source: str, repository: str, limit: int = 20) -> list[IgnoredRecord]:
        """Return the ignored events about a repository; see Ledger."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT code, sentence, source, subject, first_at, last_at, deliveries"
                " FROM ignored WHERE source = ? AND repository = ?"
                " ORDER BY last_at DESC, rowid DESC LIMIT ?",
                (source.lower(), repository, limit),
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

    def decisions(self, push: Push, task: TaskId | None = None) -> list[DecisionRecord]:
        """Return the decisions of a push; see Ledger."""
        about, values = ("", (push.key,)) if task is None else (" AND task = ?", (push.key, task))
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT record, first_at, last_at FROM decisions WHERE push = ?{about}"  # noqa: S608 - ours
                " ORDER BY first_at, rowid",
                tuple(map(str, values)),
            ).fetchall()
        return list(readable(decision_of, rows))

    def head(self, task: TaskId) -> Rebuild | None:
        """Return the newest rebuild of a task; see Ledger."""
        return self._rebuild("WHERE task = ? ORDER BY sequence DESC LIMIT 1", str(task))

    def heads(self, tasks: Collection[TaskId]) -> dict[TaskId, Rebuild]:
        """Return the newest rebuild of each task; see Ledger."""
        with self._database.reading() as db:
            rows = db.execute(_HEADS, (json.dumps(list(map(str, tasks))),)).fetchall()
        found = readable(rebuild_from_text, (record for (record,) in rows if record is not None))
        return {head.task: head for head in found}

    def claim(self, rebuild: Rebuild) -> bool:
        """Store a new rebuild; see Ledger."""
        row = (str(rebuild.task), rebuild.sequence, rebuild.version, rebuild_to_text(rebuild))
        with self._database.transaction() as db:
            stored = db.execute("INSERT OR IGNORE INTO rebuilds VALUES (?, ?, ?, ?)", row).rowcount
            if stored:
                note(db, None, rebuild)
        return stored == 1

    def save(self, rebuild: Rebuild) -> Rebuild:
        """Store a change of a rebuild; see Ledger."""
        saved = replace(rebuild, version=rebuild.version + 1)
        row = (str(rebuild.task), rebuild.sequence)
        with self._database.transaction() as db:
            known = db.execute(
                "SELECT record FROM rebuilds WHERE task = ? AND sequence = ? AND version = ?",
                (*row, rebuild.version),
            ).fetchone()
            if known is not None:
                db.execute(
                    "UPDATE rebuilds SET version = ?, record = ? WHERE task = ? AND sequence = ?",
                    (saved.version, rebuild_to_text(saved), *row),
                )
                note(db, rebuild_from_text(known[0]), saved)
        if known is None:
            raise Conflict(f"rebuild {rebuild.id} of {rebuild.task} was changed by another")
        return saved

    def rebuild(self, task: TaskId, sequence: int) -> Rebuild | None:
        """Return one rebuild; see Ledger."""
        return self._rebuild("WHERE task = ? AND sequence = ?", str(task), sequence)

    def rebuilds(self, task: TaskId, limit: int = 20, before: int | None = None) -> list[Rebuild]:
        """Return the newest rebuilds of a task; see Ledger."""
        return self._rebuilds(
            "SELECT record FROM rebuilds WHERE task = ? AND sequence < ?"
            " ORDER BY sequence DESC LIMIT ?",
            str(task),
            _LAST if before is None else before,
            limit,
        )

    def newest_success(self, task: TaskId) -> Rebuild | None:
        """Return the newest rebuild that succeeded; see Ledger."""
        return self._rebuild(
            "WHERE task = ? AND json_extract(record, '$.state') = 'succeeded'"
            " ORDER BY sequence DESC LIMIT 1",
            str(task),
        )

    def unsettled(self, *, tidy: bool = False) -> list[Rebuild]:
        """Return what something is still to happen to; see Ledger."""
        del tidy  # what is noted changes with the rebuild, in one transaction
        return self._rebuilds(
            "SELECT record FROM unsettled JOIN rebuilds USING (task, sequence)"
            " ORDER BY task, sequence"
        )

    def unsettled_after(self, task: TaskId) -> list[Rebuild]:
        """Return the unsettled rebuilds that a task led to; see Ledger."""
        return self._rebuilds(
            "SELECT record FROM chains JOIN rebuilds USING (task, sequence)"
            " WHERE member = ? ORDER BY task, sequence",
            str(task),
        )

    def producer(self, image: str) -> Rebuild | None:
        """Return the newest rebuild that pushed an image; see Ledger."""
        found = self._rebuilds(
            "SELECT record FROM outputs JOIN rebuilds USING (task, sequence)"
            " WHERE image = ? ORDER BY finished_at DESC LIMIT 1",
            image.lower(),
        )
        return found[0] if found else None

    def retire(self, before: datetime, place: str) -> Retired:
        """Forget some of what is old; see Ledger."""
        table, _, rest = place.partition(" ")
        if table not in (*_AGED, _REBUILDS):
            table = _AGED[0]
        if table in _AGED:
            removed = self._database.delete_some(table, "last_at < ?", time_text(before))
            following = [*_AGED[_AGED.index(table) + 1 :], _REBUILDS][0]
            return Retired(removed, table if removed else following)
        after, _, task = rest.partition(" ")
        removed = 0
        for _ in range(_TASKS):
            if not after:
                task = self._next_task(task)
                if not task:
                    return Retired(removed, "")
            gone, after = self._retire_rebuilds(task, after or "0", before)
            removed += gone
        return Retired(removed, f"{_REBUILDS} {after} {task}")

    def _next_task(self, after: str) -> str:
        with self._database.reading() as db:
            query = "SELECT min(task) FROM rebuilds WHERE task > ?"
            return str(db.execute(query, (after,)).fetchone()[0] or "")

    def _retire_rebuilds(self, task: str, after: str, before: datetime) -> tuple[int, str]:
        """Forget some of the rebuilds of a task that are not among its newest.

        Returns:
            How many, and the sequence to go on after; "" if it is done with.
        """
        with self._database.reading() as db:
            rows = db.execute(_BEYOND_THE_NEWEST, (task, int(after), task, KEPT, _OLD)).fetchall()
        if not rows:
            return 0, ""
        newest = self.newest_success(TaskId.parse(task))
        success = newest.sequence if newest else None
        old = readable(rebuild_from_text, (record for _, record in rows))
        going = [rebuild for rebuild in old if may_go(rebuild, KEPT, success, before)]
        images = [
            (image.lower(), task, rebuild.sequence)
            for rebuild in going
            for image in rebuild.output_images
        ]
        if going:
            with self._database.transaction() as db:
                db.executemany(
                    "DELETE FROM outputs WHERE image = ? AND task = ? AND sequence = ?", images
                )
                db.executemany(
                    "DELETE FROM rebuilds WHERE task = ? AND sequence = ?",
                    [(task, rebuild.sequence) for rebuild in going],
                )
        return len(going), f"{rows[-1][0]}" if len(rows) == _OLD else ""

    def _rebuild(self, which: str, *values: object) -> Rebuild | None:
        with self._database.reading() as db:
            row = db.execute(f"SELECT record FROM rebuilds {which}", values).fetchone()  # noqa: S608 - ours
        return rebuild_from_text(row[0]) if row else None

    def _rebuilds(self, query: str, *values: object) -> list[Rebuild]:
        with self._database.reading() as db:
            rows = db.execute(query, values).fetchall()
        return list(readable(rebuild_from_text, (record for (record,) in rows)))
