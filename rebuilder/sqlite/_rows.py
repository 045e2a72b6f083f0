"""The rows of the ledger."""

from __future__ import annotations

import sqlite3
from copy import replace
from datetime import datetime

from rebuilder.core.decisions.decision import Decision, TaskDecision
from rebuilder.core.events.pushes import Ignored, Push, repository_of
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.core.rebuilds.records import decision_from_text
from rebuilder.core.times import time_text
from rebuilder.ports.ledger import DecisionRecord, PushRecord

PUSH = "push, pushed_at, event, first_at, last_at, deliveries, pushed_last"


def columns(push: Push) -> tuple[str | None, ...]:
    """Return a push's key, repository, tag, digest, time and event."""
    pushed_at = push.pushed_at.isoformat() if push.pushed_at else None
    repository = f"{push.registry}|{push.repository}"
    return push.key, repository, push.tag, push.digest, pushed_at, push.event


def reason_of(ignored: Ignored) -> tuple[str, ...]:
    """Return what makes it the same ignored event; with what it is about."""
    repository = repository_of(ignored.subject)
    source = ignored.source.lower()
    return source, ignored.subject, repository, ignored.code, ignored.sentence()


def about(decision: Decision) -> str | None:
    return str(decision.task) if isinstance(decision, TaskDecision) else None


def push_of(row: tuple[str, str | None, str, str, str, int, str | None]) -> PushRecord:
    key, pushed_at, event, first_at, last_at, deliveries, pushed_last = row
    return PushRecord(
        replace(
            Push.from_key(key),
            pushed_at=datetime.fromisoformat(pushed_at) if pushed_at else None,
            event=event,
        ),
        datetime.fromisoformat(first_at),
        datetime.fromisoformat(last_at),
        deliveries,
        datetime.fromisoformat(pushed_last) if pushed_last else None,
    )


def decision_of(row: tuple[str, str, str]) -> DecisionRecord:
    record, first_at, last_at = row
    return DecisionRecord(
        decision_from_text(record),
        datetime.fromisoformat(first_at),
        datetime.fromisoformat(last_at),
    )


def note(db: sqlite3.Connection, before: Rebuild | None, rebuild: Rebuild) -> None:
    """Keep what is looked up of a rebuild otherwise than by its task, as far as it changed."""
    row = (str(rebuild.task), rebuild.sequence)
    noted = before is not None and before.unsettled
    if rebuild.unsettled and not noted:
        db.execute("INSERT OR IGNORE INTO unsettled VALUES (?, ?)", row)
        if rebuild.chain:
            db.executemany(
                "INSERT OR IGNORE INTO chains VALUES (?, ?, ?)",
                [(member, *row) for member in rebuild.chain],
            )
    elif noted and not rebuild.unsettled:
        db.execute("DELETE FROM unsettled WHERE task = ? AND sequence = ?", row)
        if rebuild.chain:
            db.executemany(
                "DELETE FROM chains WHERE member = ? AND task = ? AND sequence = ?",
                [(member, *row) for member in rebuild.chain],
            )
    images = rebuild.output_images
    if images and (before is None or before.output_images != images):
        finished = time_text(rebuild.finished_at or rebuild.claimed_at)
        db.executemany(
            "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?)",
            [(image.lower(), *row, finished) for image in images],
        )
