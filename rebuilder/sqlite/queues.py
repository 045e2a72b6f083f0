"""Queues with the semantics of Azure Storage's: at least once, hidden while somebody works."""

from __future__ import annotations

import logging
import sqlite3
import threading
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rebuilder.ports import PoisonMessage
from rebuilder.sqlite._database import Database

log = logging.getLogger(__name__)

POISON = "-poison"
"""What the Functions host appends to a queue's name for what it gives up."""

_FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
_SOME = 32
_HIDDEN = timedelta(minutes=5)
_LOOK_SECONDS = 0.005
_AGAIN_SECONDS = 1.0
_WAITING = "SELECT 1 FROM messages WHERE queue = ? AND visible_at <= ? LIMIT 1"


def _now() -> datetime:
    return datetime.now(UTC)


class MessageGone(Exception):
    """The message was deleted, or somebody else has received it since."""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message for whoever holds its pop receipt.

    Attributes:
        id: The message's id.
        body: Its text.
        pop_receipt: Allows to renew or delete it, until it is received again.
        dequeue_count: How often it was received.
        inserted_at: When it was sent.
        expires_at: When it would be dropped: never.
        next_visible_at: When others see it again.
    """

    id: str
    body: str
    pop_receipt: str
    dequeue_count: int
    inserted_at: datetime
    expires_at: datetime
    next_visible_at: datetime


class SqliteQueues:
    """Every queue of one file; also a WorkQueue.

    Args:
        path: The file; made on first use.
        now: The time, with its zone.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = _now) -> None:
        self._database = Database(path)
        self._now = now

    def exists(self, queue: str) -> bool:
        """Tell whether anything was ever sent to a queue."""
        with self._database.transaction() as db:
            found = db.execute("SELECT 1 FROM queues WHERE name = ?", (queue,)).fetchone()
        return found is not None

    def send(self, queue: str, body: str, delay: timedelta = timedelta()) -> None:
        """Put a message into a queue; see WorkQueue."""
        self._put(queue, [body], delay)

    def send_many(self, queue: str, bodies: Sequence[str]) -> None:
        """Put many messages into a queue; see WorkQueue."""
        self._put(queue, bodies, timedelta())

    def _put(self, queue: str, bodies: Sequence[str], delay: timedelta) -> None:
        now = self._now()
        inserted, visible = now.timestamp(), (now + delay).timestamp()
        rows = [(uuid.uuid4().hex, queue, body, "", 0, inserted, visible) for body in bodies]
        with self._database.transaction() as db:
            db.execute("INSERT OR IGNORE INTO queues VALUES (?)", (queue,))
            db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def watch(
        self, queues: Collection[str], told: Callable[[str], None], stopped: threading.Event
    ) -> None:
        """Tell, until `stopped` is set, of each queue that holds a message to be received.

        A look takes microseconds and no lock, so it is taken often; a queue that nobody receives
        from is told of at each look. Azure's queues have nothing like it: see localcloud.

        Args:
            queues: Which queues; may grow.
            told: Called with a queue's name.
            stopped: Ends the watch.
        """
        while not stopped.is_set():
            try:
                with closing(self._database.reader()) as reader:
                    while not stopped.wait(_LOOK_SECONDS):
                        now = self._now().timestamp()
                        for queue in tuple(queues):
                            if reader.execute(_WAITING, (queue, now)).fetchone():
                                told(queue)
            except sqlite3.OperationalError as error:
                # Whoever receives finds out more, and says so.
                log.debug("queues cannot be watched: %s", error)
                stopped.wait(_AGAIN_SECONDS)

    def receive(self, queue: str, limit: int, hide: timedelta) -> list[ReceivedMessage]:
        """Receive up to `limit` messages, oldest first, and hide them for `hide`."""
        now = self._now()
        until = now + hide
        received = []
        with self._database.transaction() as db:
            rows = db.execute(
                "SELECT id, body, dequeue_count, inserted_at FROM messages"
                " WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, rowid LIMIT ?",
                (queue, now.timestamp(), limit),
            ).fetchall()
            for message_id, body, count, inserted_at in rows:
                receipt = uuid.uuid4().hex
                db.execute(
                    "UPDATE messages SET receipt = ?, dequeue_count = ?, visible_at = ?"
                    " WHERE id = ?",
                    (receipt, count + 1, until.timestamp(), message_id),
                )
                inserted = datetime.fromtimestamp(inserted_at, UTC)
                received.append(
                    ReceivedMessage(message_id, body, receipt, count + 1, inserted, _FOREVER, until)
                )
        return received

    def renew(self, queue: str, message_id: str, pop_receipt: str, hide: timedelta) -> str:
        """Hide a message for `hide` from now.

        Returns:
            The new pop receipt; the old one is worthless.

        Raises:
            MessageGone: The receipt is worthless already.
        """
        receipt = uuid.uuid4().hex
        until = (self._now() + hide).timestamp()
        with self._database.transaction() as db:
            changed = db.execute(
                "UPDATE messages SET receipt = ?, visible_at = ?"
                " WHERE queue = ? AND id = ? AND receipt = ?",
                (receipt, until, queue, message_id, pop_receipt),
            ).rowcount
        if not changed:
            raise MessageGone(message_id)
        return receipt

    def delete(self, queue: str, message_id: str, pop_receipt: str) -> None:
        """Delete a message.

        Raises:
            MessageGone: The receipt is worthless already.
        """
        with self._database.transaction() as db:
            changed = db.execute(
                "DELETE FROM messages WHERE queue = ? AND id = ? AND receipt = ?",
                (queue, message_id, pop_receipt),
            ).rowcount
        if not changed:
            raise MessageGone(message_id)

    def poisoned(self, queue: str) -> list[PoisonMessage]:
        """Return some of the messages that the host gave up; see WorkQueue."""
        received = self.receive(f"{queue}{POISON}", _SOME, _HIDDEN)
        return [
            PoisonMessage(
                queue, message.body, message.inserted_at, (message.id, message.pop_receipt)
            )
            for message in received
        ]

    def forget(self, message: PoisonMessage) -> None:
        """Delete a message from its poison queue; see WorkQueue."""
        with suppress(MessageGone):
            self.delete(f"{message.queue}{POISON}", *message.handle)

    def close(self) -> None:
        """Nothing is held open between calls."""
