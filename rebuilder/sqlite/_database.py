"""One file, used by several threads and processes at once.

Connections are kept and lent to one thread after the other: to open one costs more than most of
what is asked. Who reads takes no lock, for the file is in WAL mode; who writes waits in line for
the others of this process, where SQLite by itself would sleep and try again.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rebuilder.core.rebuilds.records import VERSION
from rebuilder.errors import NewerStore, StoreUnavailable
from rebuilder.sqlite._advice import _LOCKED, A_FOLDER, NO_FOLDER, NOT_UPGRADED, advice
from rebuilder.sqlite._advice import BUSY_SECONDS as _BUSY_SECONDS
from rebuilder.sqlite._schema import complete, make_tables, version_of

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.01
_LOOK_SECONDS = 1.0
"""How often it is looked whether newer code has changed the file meanwhile."""
_SOME = 500  # rows that are deleted together
_KEPT = 16
"""Connections that nobody uses now: as many as threads commonly work at once."""

type _Identity = tuple[int, int]
_EMPTY: _Identity = (0, 0)
"""Stands for tables without rows, where there is no file; no file has it."""


class Database:
    """Statements and transactions on a file; the tables are made on first use.

    Whoever opens the same file in one process shares its connections.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._file = _shared(path)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read without a lock; each statement sees one state of the file.

        A file that is not there holds nothing, and is not made.

        Raises:
            StoreUnavailable: The file cannot be read now.
            NewerStore: The file is of a newer version of this code.
        """
        with self._file.told(), self._file.lent(write=False) as connection:
            yield connection

    @contextmanager
    def statement(self) -> Iterator[sqlite3.Connection]:
        """Run one statement that writes, which is a transaction by itself.

        Raises:
            StoreUnavailable: The file cannot be written now.
            NewerStore: The file is of a newer version of this code.
        """
        with self._file.told(), self._file.line(), self._file.lent(write=True) as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction that nobody else's can interleave with.

        Raises:
            StoreUnavailable: The file cannot be written now.
            NewerStore: The file is of a newer version of this code.
        """
        with self.statement() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    def delete_some(self, table: str, which: str, *values: object) -> int:
        """Delete some of the rows that a condition is true of; return how many.

        Few enough that whoever waits to write does not wait for long.
        """
        query = f"SELECT rowid FROM {table} WHERE {which} LIMIT {_SOME}"  # noqa: S608 - ours
        with self.statement() as db:
            return db.execute(
                f"DELETE FROM {table} WHERE rowid IN ({query})",  # noqa: S608 - ours
                values,
            ).rowcount

    def close(self) -> None:
        """Close the connections; they are opened again when they are needed."""
        self._file.close()


class FileStore:
    """What is kept in a file.

    Args:
        path: The file; made on first use.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()


class _File:
    """The connections of this process to one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._line = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._empty: list[sqlite3.Connection] = []
        self._identity: _Identity | None = None
        self._looked = 0.0
        self._warned = False
        self._process = os.getpid()
        # What is not closed when nobody knows the file any more would be warned of.
        for kept in (self._idle, self._empty):
            weakref.finalize(self, _close_all, kept)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn what SQLite raises into an error that says what to do."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            name = getattr(error, "sqlite_errorname", "")
            if not name:
                raise  # a mistake of ours, not the file's state
            raise StoreUnavailable(f"{self.path} {advice(self.path, name, error)}") from error

    @contextmanager
    def line(self) -> Iterator[None]:
        """Wait until no other thread of this process writes."""
        line = self._line
        if not line.acquire(timeout=_BUSY_SECONDS):
            raise StoreUnavailable(f"{self.path} {_LOCKED}")
        try:
            yield
        finally:
            line.release()

    @contextmanager
    def lent(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        """Lend a connection; one that failed is not lent again."""
        connection, identity = self._taken(write=write)
        failed = False
        try:
            yield connection
        except sqlite3.Error:
            failed = True
            raise
        finally:
            self._give_back(connection, identity, failed=failed)

    def _taken(self, *, write: bool) -> tuple[sqlite3.Connection, _Identity | None]:
        """Return a connection, and which file it is to; None for one that is not to be kept."""
        if self._process != os.getpid():
            # SQLite forbids to use, and even to close, what was opened before a fork.
            for kept in (self._idle, self._empty):
                _inherited.extend(kept)
                kept.clear()
            self._begin()
        with self._lock:
            identity = _identity(self.path)
            if identity is None and not write:
                return self._nothing(), _EMPTY
            now = time.monotonic()
            if identity is None or identity != self._identity:
                # It is new, or was put in the place of the one that was open.
                _close_all(self._idle)
                if write:
                    self._make()
                elif (other := self._find()) is not None:
                    return other
                identity, self._looked = _identity(self.path), now
                self._identity = identity
            connection = self._idle.pop() if self._idle else self._connect()
            if now - self._looked > _LOOK_SECONDS:
                self._looked = now
                try:
                    self._known(version_of(connection))
                except BaseException:
                    connection.close()
                    self._identity = None
                    raise
            return connection, identity

    def _give_back(
        self, connection: sqlite3.Connection, identity: _Identity | None, *, failed: bool
    ) -> None:
        with self._lock:
            if failed:
                # The file may have become another, or one of a newer version: look first.
                self._identity = None
            elif identity is not None and identity in (self._identity, _EMPTY):
                kept = self._empty if identity == _EMPTY else self._idle
                if len(kept) < _KEPT:
                    kept.append(connection)
                    return
        connection.close()

    def close(self) -> None:
        """Close what nobody uses now."""
        with self._lock:
            _close_all(self._idle)
            _close_all(self._empty)

    def _connect(self) -> sqlite3.Connection:
        return _connected(self.path)

    def _nothing(self) -> sqlite3.Connection:
        """Return what is read where there is no file: tables without rows."""
        if self._empty:
            return self._empty.pop()
        made = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        make_tables(made, 0)
        if not self._warned:
            self._warned = True
            log.warning("%s is not there, or empty: nothing is kept in it yet", self.path)
        return made

    def _find(self) -> tuple[sqlite3.Connection, _Identity | None] | None:
        """See that the file can be read; return another way to read it if it is not to be kept."""
        try:
            with closing(self._connect()) as connection:
                version, whole = version_of(connection), complete(connection)
        except sqlite3.OperationalError:
            if _left_beside(self.path):
                raise
            # It may not be written, or its disk is full.
            return self._found_unwritable(), None
        self._known(version)
        if version == 0:
            return self._nothing(), _EMPTY
        if not whole:
            self._make()
        return None

    def _found_unwritable(self) -> sqlite3.Connection:
        reader = _immutable(self.path)
        try:
            version, whole = version_of(reader), complete(reader)
            self._known(version)
        except BaseException:
            reader.close()
            raise
        if whole:
            return reader
        reader.close()
        raise StoreUnavailable(f"{self.path} {NOT_UPGRADED.format(version)}")

    def _make(self) -> None:
        """Make the file and its tables, or those that this version has more than its own."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"{self.path} {NO_FOLDER}: {error.strerror}") from error
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                with closing(self._connect()) as connection:
                    self._make_tables(connection)
            except sqlite3.OperationalError as error:
                # Changing to WAL does not wait for others as transactions do.
                busy = getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(_AGAIN_SECONDS)
            else:
                return

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        version = version_of(connection)
        self._known(version)
        if complete(connection):
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have been quicker.
            version = version_of(connection)
            self._known(version)
            if not complete(connection):
                make_tables(connection, version)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise

    def _known(self, version: int) -> None:
        if version > VERSION:
            raise NewerStore(str(self.path), version, VERSION)


_files: weakref.WeakValueDictionary[str, _File] = weakref.WeakValueDictionary()
_files_lock = threading.Lock()
_inherited: list[sqlite3.Connection] = []


def _shared(path: Path) -> _File:
    name = os.path.abspath(path)  # noqa: PTH100 - a link stays one: what it names may change
    with _files_lock:
        file = _files.get(name)
        if file is None:
            file = _files[name] = _File(Path(name))
        return file


def _identity(path: Path) -> _Identity | None:
    """Return what tells a file from another that is put in its place; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - often called, and pathlib's takes twice as long
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be reached: {error.strerror}") from error
    if stat.S_ISDIR(found.st_mode):
        raise StoreUnavailable(f"{path} {A_FOLDER}")
    return found.st_dev, found.st_ino


def _connected(path: Path) -> sqlite3.Connection:
    # Several threads use it, one after the other.
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _left_beside(path: Path) -> bool:
    """Tell whether something was committed that stands in the file beside only."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _immutable(path: Path) -> sqlite3.Connection:
    """Return a connection that writes nothing at all, not even the files beside.

    Source: sqlite.org/wal.html, "Read-Only Databases".
    """
    return sqlite3.connect(
        f"{path.as_uri()}?mode=ro&immutable=1",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()
