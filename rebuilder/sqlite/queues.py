"""Queues with the semantics of Azure Storage's: at least once, hidden while somebody works."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from rebuilder.core.rebuilds.messages import LONGEST_DELAY, check_size
from rebuilder.errors import TransientError
from rebuilder.ports.queue import Begun, Depth, PoisonMessage
from rebuilder.sqlite._database import FileStore

log = logging.getLogger(__name__)

POISON = "-poison"
"""What the Functions host appends to a queue's name for what it gives up."""

_FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
_SOME = 32
_HIDDEN = timedelta(minutes=5)
_LONGEST_HIDDEN = timedelta(hours=1)
"""Whoever has received a message hides it for minutes, and no message was sent tomorrow."""
_BELIEVED = timedelta(minutes=15)
"""So long after a look at times that cannot be the next one comes."""
_LOOK_SECONDS = 0.005
_AGAIN_SECONDS = 1.0
_WAITING = "SELECT 1 FROM messages WHERE queue = ? AND visible_at <= ? LIMIT 1"
_DEPTH = (
    "SELECT COUNT(*), MIN(CASE WHEN visible_at <= ? THEN inserted_at END) FROM messages"
    " WHERE queue = ?"
)
_INSERT = "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)"
_RECEIVE = (
    "UPDATE messages SET receipt = ?, dequeue_count = dequeue_count + 1, visible_at = ?"
    " WHERE id IN (SELECT id FROM messages WHERE queue = ? AND visible_at <= ?"
    " ORDER BY visible_at, rowid LIMIT ?) RETURNING id, body, dequeue_count, inserted_at, rowid"
)
_IMPOSSIBLE = "inserted_at > ?2 OR (receipt <> '' AND visible_at > ?2)"
_ANY_IMPOSSIBLE = f"SELECT ?1 FROM messages WHERE {_IMPOSSIBLE} LIMIT 1"  # noqa: S608 - our own text
_BRING_BACK = (
    "UPDATE messages SET visible_at = ?1, inserted_at = MIN(inserted_at, ?1)"  # noqa: S608 - as above
    f" WHERE {_IMPOSSIBLE}"
)
_TOLD = (
    "SELECT value FROM json_each(?)"
    " WHERE EXISTS (SELECT 1 FROM messages WHERE queue = value AND visible_at <= ?)"
)


def _now() -> datetime:
    return datetime.now(UTC)


class MessageGone(Exception):
    """The message was deleted, or somebody else has received it since."""


class ReceivedMessage(Struct, frozen=True):
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


class SqliteQueues(FileStore):
    """Every queue of one file; also a WorkQueue.

    Args:
        path: The file; made on first use.
        now: The time, with its zone.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = _now) -> None:
        super().__init__(path)
        self._now = now
        self._believed: datetime | None = None

    def send(self, queue: str, body: str, delay: timedelta = timedelta()) -> None:
        """Put a message into a queue; see WorkQueue."""
        self._put(queue, [body], delay)

    def send_many(self, queue: str, bodies: Sequence[str]) -> None:
        """Put many messages into a queue; see WorkQueue."""
        self._put(queue, bodies, timedelta())

    def _put(self, queue: str, bodies: Sequence[str], delay: timedelta) -> None:
        for body in bodies:
            check_size(body)
        now = self._now()
        inserted, visible = now.timestamp(), (now + min(delay, LONGEST_DELAY)).timestamp()
        rows = [(uuid.uuid4().hex, queue, body, "", 0, inserted, visible) for body in bodies]
        if len(rows) == 1:
            with self._database.statement() as db:
                db.execute(_INSERT, rows[0])
        elif rows:
            with self._database.transaction() as db:
                db.executemany(_INSERT, rows)

    def begin(self, queue: str, body: str, hidden: timedelta) -> Begun:
        """Put a message into a queue and work it off oneself; see WorkQueue."""
        check_size(body)
        now = self._now()
        handle = (uuid.uuid4().hex, uuid.uuid4().hex)
        row = (handle[0], queue, body, handle[1], 0, now.timestamp(), (now + hidden).timestamp())
        with self._database.statement() as db:
            db.execute(_INSERT, row)
        return Begun(queue, body, handle)

    def finish(self, begun: Begun) -> None:
        """Delete a message that was worked off; see WorkQueue."""
        with suppress(MessageGone):
            self.delete(begun.queue, *begun.handle)

    def leave(self, begun: Begun) -> None:
        """Let others see a message now; see WorkQueue."""
        with suppress(MessageGone):
            self.renew(begun.queue, *begun.handle, timedelta())

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
        while not stopped.wait(_LOOK_SECONDS):
            try:
                with self._database.reading() as db:
                    names = json.dumps(list(queues))
                    found = db.execute(_TOLD, (names, self._now().timestamp())).fetchall()
            except TransientError as error:
                # Whoever receives finds out more, and says so.
                log.debug("queues cannot be watched: %s", error)
                stopped.wait(_AGAIN_SECONDS)
                continue
            for (queue,) in found:
                told(queue)

    def receive(self, queue: str, limit: int, hide: timedelta) -> list[ReceivedMessage]:
        """Receive up to `limit` messages, oldest first, and hide them for `hide`."""
        now = self._now()
        self._bring_back(now)
        with self._database.reading() as db:
            # Most looks find nothing, and need no lock for it.
            if db.execute(_WAITING, (queue, now.timestamp())).fetchone() is None:
                return []
        receipt, until = uuid.uuid4().hex, now + hide
        values = (receipt, until.timestamp(), queue, now.timestamp(), limit)
        with self._database.statement() as db:
            rows = db.execute(_RECEIVE, values).fetchall()
        return [
            ReceivedMessage(
                message_id,
                body,
                receipt,
                count,
                datetime.fromtimestamp(inserted_at, UTC),
                _FOREVER,
                until,
            )
            for message_id, body, count, inserted_at, _ in sorted(rows, key=lambda row: row[3:])
        ]

    def _bring_back(self, now: datetime) -> None:
        """Have messages seen again that an instance whose clock was ahead has hidden, and died.

        The times are those of whoever wrote them; Azure's queues have a clock of their own.
        """
        before = self._believed
        if before is not None and before <= now < before + _BELIEVED:
            return
        times = (now.timestamp(), (now + _LONGEST_HIDDEN).timestamp())
        with self._database.reading() as db:
            found = db.execute(_ANY_IMPOSSIBLE, times).fetchone()
        if found is not None:
            with self._database.statement() as db:
                count = db.execute(_BRING_BACK, times).rowcount
            log.warning(
                "%d messages were hidden for longer than any is: some instance's clock was wrong;"
                " they are delivered now",
                count,
            )
        self._believed = now

    def renew(self, queue: str, message_id: str, pop_receipt: str, hide: timedelta) -> str:
        """Hide a message for `hide` from now.

        Returns:
            The new pop receipt; the old one is worthless.

        Raises:
            MessageGone: The receipt is worthless already.
        """
        receipt = uuid.uuid4().hex
        until = (self._now() + hide).timestamp()
        with self._database.statement() as db:
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
        with self._database.statement() as db:
            changed = db.execute(
                "DELETE FROM messages WHERE queue = ? AND id = ? AND receipt = ?",
                (queue, message_id, pop_receipt),
            ).rowcount
        if not changed:
            raise MessageGone(message_id)

    def depth(self, queue: str, *, poison: bool = False) -> Depth:
        """Return how much waits in a queue; see WorkQueue."""
        name = f"{queue}{POISON}" if poison else queue
        with self._database.reading() as db:
            count, oldest = db.execute(_DEPTH, (self._now().timestamp(), name)).fetchone()
        return Depth(count, None if oldest is None else datetime.fromtimestamp(oldest, UTC))

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
