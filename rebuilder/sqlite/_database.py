"""One file, used by several threads and processes at once."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rebuilder.errors import PermanentError, TransientError

VERSION = 2
_BUSY_SECONDS = 30

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pushes (
    push TEXT PRIMARY KEY, repository TEXT NOT NULL, pushed_at TEXT, event TEXT NOT NULL,
    first_at TEXT NOT NULL, last_at TEXT NOT NULL, deliveries INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS pushes_by_repository ON pushes (repository);
CREATE TABLE IF NOT EXISTS ignored (
    source TEXT NOT NULL, subject TEXT NOT NULL, code TEXT NOT NULL, sentence TEXT NOT NULL,
    first_at TEXT NOT NULL, last_at TEXT NOT NULL, deliveries INTEGER NOT NULL,
    PRIMARY KEY (source, subject, code, sentence));
CREATE TABLE IF NOT EXISTS decisions (
    push TEXT NOT NULL, record TEXT NOT NULL, first_at TEXT NOT NULL, last_at TEXT NOT NULL,
    PRIMARY KEY (push, record));
CREATE TABLE IF NOT EXISTS rebuilds (
    task TEXT NOT NULL, sequence INTEGER NOT NULL, version INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (task, sequence));
CREATE TABLE IF NOT EXISTS unsettled (
    task TEXT NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (task, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outputs (
    image TEXT NOT NULL, task TEXT NOT NULL, sequence INTEGER NOT NULL, finished_at TEXT NOT NULL,
    PRIMARY KEY (image, task, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bookmarks (
    name TEXT PRIMARY KEY, place TEXT NOT NULL, owner TEXT NOT NULL, lease_until TEXT,
    version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS failures (
    queue TEXT NOT NULL, body TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (queue, body));
CREATE TABLE IF NOT EXISTS dead_letters (
    id TEXT PRIMARY KEY, origin TEXT NOT NULL, source TEXT NOT NULL, body TEXT NOT NULL,
    reason TEXT NOT NULL, at TEXT NOT NULL, replayed_at TEXT);
CREATE TABLE IF NOT EXISTS messages (
    id TEXT PRIMARY KEY, queue TEXT NOT NULL, body TEXT NOT NULL, receipt TEXT NOT NULL,
    dequeue_count INTEGER NOT NULL, inserted_at REAL NOT NULL, visible_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS messages_by_queue ON messages (queue, visible_at);
CREATE TABLE IF NOT EXISTS queues (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS views (
    task TEXT PRIMARY KEY, registry TEXT NOT NULL, read_at TEXT NOT NULL, record TEXT);
CREATE INDEX IF NOT EXISTS views_by_registry ON views (registry, read_at);
CREATE TABLE IF NOT EXISTS dependents (
    repository TEXT NOT NULL, task TEXT NOT NULL, PRIMARY KEY (repository, task)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS dependents_by_task ON dependents (task);
CREATE TABLE IF NOT EXISTS refreshes (
    registry TEXT PRIMARY KEY, refreshed_at TEXT, started TEXT, after TEXT);
"""

# Version 1 did not keep apart what something is still to happen to.
_UNSETTLED_OF_VERSION_1 = """
INSERT OR IGNORE INTO unsettled SELECT task, sequence FROM rebuilds
    WHERE json_extract(record, '$.state') IN ('claimed', 'scheduled');
"""


class Database:
    """Transactions on the file; the tables are made on first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made = False
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction that nobody else's can interleave with.

        Raises:
            TransientError: The file is locked for too long, or cannot be written now.
            PermanentError: The file is of a newer version of this code.
        """
        try:
            self._make()
            # A connection of its own: connections must not wander between threads.
            with closing(self._connect()) as connection:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
                connection.commit()
        except sqlite3.OperationalError as error:
            raise TransientError(f"{self._path.name}: {error}") from error

    def reader(self) -> sqlite3.Connection:
        """Return a connection for reading, which the calling thread keeps and closes.

        Raises:
            sqlite3.OperationalError: The file cannot be opened now.
            PermanentError: The file is of a newer version of this code.
        """
        self._make()
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _make(self) -> None:
        with self._lock:
            if self._made:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            deadline = time.monotonic() + _BUSY_SECONDS
            while True:
                try:
                    self._make_tables()
                    break
                except sqlite3.OperationalError as error:
                    # Changing to WAL does not wait for others as transactions do.
                    if "locked" not in str(error) or time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)
            self._made = True

    def _make_tables(self) -> None:
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise PermanentError(
                    f"{self._path.name} is of version {version}; this code knows up to"
                    f" {VERSION}: use the newer code, or another file"
                )
            connection.executescript(_SCHEMA)
            if version == 1:
                connection.executescript(_UNSETTLED_OF_VERSION_1)
            connection.execute(f"PRAGMA user_version = {VERSION}")
