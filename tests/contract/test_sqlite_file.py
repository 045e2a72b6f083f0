"""What becomes of the embedded store when its file is not as it should be."""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.rebuilds.records import VERSION
from rebuilder.errors import NewerStore, StoreUnavailable
from rebuilder.sqlite import _advice, _database
from rebuilder.sqlite._database import Database
from rebuilder.sqlite.bookmarks import SqliteBookmarks
from rebuilder.sqlite.index import SqliteIndex
from rebuilder.sqlite.queues import SqliteQueues
from tests.patience import SECONDS

_NOBODY = 65534
_REGISTRY = RegistryId("s", "g", "myapps")


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "store.db"
    keeper = Database(file)  # as a process has it open all the time
    yield file
    keeper.close()


def write(file: Path, name: str = "one") -> None:
    """Keep something."""
    SqliteBookmarks(file).save(Bookmark(name, "kept"))


def read(file: Path, name: str = "one") -> str:
    """Ask for it."""
    return SqliteBookmarks(file).read(name).place


def close(file: Path) -> None:
    """Close every connection of this process."""
    Database(file).close()


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be somebody whom the rights of files bind."""
    if os.geteuid():
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(name="guarded")
def _guarded() -> Iterator[Path]:
    """A file in a folder that the unprivileged may look into, but not change."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder / "store.db"
        folder.chmod(0o755)


def protect(file: Path) -> None:
    """Take away the right to write a file and its folder."""
    for kept in file.parent.iterdir():
        kept.chmod(0o444)
    file.parent.chmod(0o555)


def test_a_newer_file_is_left_alone(file: Path) -> None:
    """Whoever reads or writes it is told so, with the way out; it stays as it is."""
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 99")
    before = file.read_bytes()

    for use in (write, read):
        with pytest.raises(NewerStore, match=rf"version 99; .* up to {VERSION}.* use the newer"):
            use(file)
    assert file.read_bytes() == before


def test_a_file_that_newer_code_takes_over_is_left_alone(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has it open already notices, and says so at each use."""
    monkeypatch.setattr(_database, "_LOOK_SECONDS", 0)
    write(file)
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 99")

    for _ in range(2):
        for use in (write, read):
            with pytest.raises(NewerStore, match="version 99"):
                use(file)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """The setting is named."""
    for use in (write, read):
        with pytest.raises(StoreUnavailable, match="is a folder: write AzureWebJobsStorage=sqlite"):
            use(tmp_path)


def test_a_file_needs_a_folder(tmp_path: Path) -> None:
    """A file in the folder's place, and a place where none can be made."""
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file" / "store.db", Path("/proc/nowhere/store.db")):
        with pytest.raises(StoreUnavailable, match=r"cannot be (made|reached)"):
            write(place)


def test_a_place_that_takes_no_file_is_told(file: Path) -> None:
    """What the system takes for no folder that files are made in, such as /proc."""
    del file
    with pytest.raises(StoreUnavailable, match="cannot be opened: see that its folder"):
        write(Path("/proc/store.db"))


def test_what_is_no_database_is_told(file: Path) -> None:
    """It is not overwritten."""
    file.write_text("This is a letter to my aunt. " * 100)
    before = file.read_bytes()

    for use in (write, read):
        with pytest.raises(StoreUnavailable, match="is damaged, or is no database"):
            use(file)
    assert file.read_bytes() == before


def test_a_damaged_file_is_told(file: Path) -> None:
    """Pages that are no pages: the sentence says what to put in its place."""
    for number in range(200):
        write(file, f"bookmark {number}")
    close(file)
    with file.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(b"\xff" * (file.stat().st_size - 4096))

    with pytest.raises(StoreUnavailable, match="put the last copy in its place"):
        read(file)


def test_who_reads_does_not_wait_for_who_writes(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the file: it is read, and whoever writes is told after a while."""
    monkeypatch.setattr(_database, "_BUSY_SECONDS", 0.05)
    write(file)
    close(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert read(file) == "kept"
        with pytest.raises(StoreUnavailable, match="is locked for longer than"):
            write(file, "two")
        other.rollback()
    write(file, "two")

    assert read(file, "two") == "kept"


def test_a_new_file_that_is_locked_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tables cannot be made while another holds it."""
    monkeypatch.setattr(_database, "_BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="is locked"):
            write(file)


def test_threads_that_write_stand_in_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that holds the line for too long is told to the others; reading goes on."""
    monkeypatch.setattr(_database, "_BUSY_SECONDS", 0.05)
    write(file)
    began, over = threading.Event(), threading.Event()

    def hold() -> None:
        with Database(file).transaction():
            began.set()
            over.wait(SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    assert began.wait(SECONDS)
    try:
        assert read(file) == "kept"
        with pytest.raises(StoreUnavailable, match="is locked"):
            write(file, "two")
    finally:
        over.set()
        thread.join()


def test_a_full_file_keeps_what_was_accepted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is refused with a sentence; the rest is read, and writing goes on later."""
    opened = _database._connected

    def limited(path: Path) -> sqlite3.Connection:
        connection = opened(path)
        connection.execute("PRAGMA max_page_count = 60")
        return connection

    queues = SqliteQueues(file)
    with monkeypatch.context() as full:
        close(file)
        full.setattr(_database, "_connected", limited)
        accepted: list[int] = []

        def fill() -> None:
            for number in range(100):
                queues.send("q", "x" * 10_000)
                accepted.append(number)

        with pytest.raises(StoreUnavailable, match="cannot grow: its disk is full"):
            fill()
        assert 0 < len(accepted) < 100
        with pytest.raises(StoreUnavailable, match="make room"):
            queues.send_many("q", ["x" * 10_000] * 2)
        assert read(file) == ""
    close(file)
    queues.send("q", "one more")

    assert len(queues.receive("q", 100, timedelta())) == len(accepted) + 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("SQLITE_BUSY_SNAPSHOT", "is locked"),
        ("SQLITE_FULL", "disk is full"),
        ("SQLITE_IOERR_WRITE", r"by its disk \(SQLITE_IOERR_WRITE\)"),
        ("SQLITE_READONLY_DBMOVED", "may not be written"),
        ("SQLITE_CORRUPT_INDEX", "is damaged"),
        ("SQLITE_CANTOPEN", "cannot be opened"),
        ("SQLITE_TOOBIG", r"cannot be used: too big \(SQLITE_TOOBIG\)"),
    ],
)
def test_each_of_its_errors_has_a_sentence(file: Path, name: str, told: str) -> None:
    """By SQLite's own name for it; the file is named."""
    error = sqlite3.OperationalError("too big")
    error.sqlite_errorname = name

    with (
        pytest.raises(StoreUnavailable, match=f"{file.name} .*{told}"),
        Database(file).statement(),
    ):
        raise error


@pytest.mark.parametrize("name", ["SQLITE_IOERR_SHMSIZE", "SQLITE_CANTOPEN"])
def test_no_room_is_told_whatever_fails(
    file: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk SQLite fails in many ways."""
    monkeypatch.setattr(_advice, "_no_room", lambda _path: True)
    error = sqlite3.OperationalError("x")
    error.sqlite_errorname = name

    with pytest.raises(StoreUnavailable, match="disk is full"), Database(file).statement():
        raise error


def test_a_disk_that_cannot_be_asked_is_not_called_full(tmp_path: Path) -> None:
    """What is not known is not told."""
    assert not _advice._no_room(tmp_path)
    assert not _advice._no_room(tmp_path / "not" / "there")


def test_a_mistake_of_ours_is_none_of_the_file(file: Path) -> None:
    """It is raised as it is."""
    with pytest.raises(sqlite3.ProgrammingError), Database(file).reading() as db:
        db.execute("SELECT ?", ())


def test_what_may_not_be_written_is_read(guarded: Path) -> None:
    """Questions are answered, although SQLite may not make the files that it keeps beside."""
    write(guarded)
    close(guarded)
    protect(guarded)

    with unprivileged():
        assert read(guarded) == "kept"
        assert read(guarded, "two") == ""
        with pytest.raises(StoreUnavailable, match="may not be written: give the account"):
            write(guarded, "two")
        close(guarded)
    assert [kept.name for kept in guarded.parent.iterdir()] == [guarded.name]


def test_what_was_not_carried_over_is_not_missed(guarded: Path) -> None:
    """A process that was killed left something beside the file: without it, nothing is told."""
    running = Database(guarded)
    write(guarded)
    with tempfile.TemporaryDirectory() as made:
        for kept in guarded.parent.iterdir():
            if not kept.name.endswith("-shm"):
                shutil.copy(kept, made)
        copied = Path(made) / guarded.name
        protect(copied)
        with unprivileged(), pytest.raises(StoreUnavailable, match=r"give the account|opened"):
            read(copied)
        copied.parent.chmod(0o755)
    running.close()


def test_an_older_file_that_may_not_be_written_is_told(guarded: Path) -> None:
    """It would have to be made one of this version first."""
    write(guarded)
    close(guarded)
    with closing(sqlite3.connect(guarded)) as db:
        db.execute(f"PRAGMA user_version = {VERSION - 1}")
    protect(guarded)

    with unprivileged(), pytest.raises(StoreUnavailable, match=f"is of version {VERSION - 1} and"):
        read(guarded)


def test_a_folder_that_may_not_be_looked_into_is_told(guarded: Path) -> None:
    """The rights of the folder are the reason."""
    guarded.parent.chmod(0o700)
    with unprivileged():
        for use in (read, write):
            with pytest.raises(StoreUnavailable, match="cannot be reached: Permission denied"):
                use(guarded)


def test_a_deleted_file_is_made_again(file: Path) -> None:
    """Under whoever has it open: the next that is written makes its tables, without a restart."""
    write(file)
    for kept in file.parent.glob(f"{file.name}*"):
        kept.unlink()

    assert read(file) == ""
    assert not file.exists()
    write(file, "two")
    assert (read(file), read(file, "two")) == ("", "kept")


def test_another_file_in_its_place_is_read(file: Path, tmp_path: Path) -> None:
    """A copy that was put back counts at once."""
    write(file)
    close(file)
    shutil.copy(file, tmp_path / "copy")
    write(file, "two")
    close(file)
    (tmp_path / "copy").rename(file)

    assert (read(file), read(file, "two")) == ("kept", "")


def test_a_file_that_is_not_there_holds_nothing(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not made by a question, and a name that was misspelt is told."""
    caplog.set_level(logging.WARNING, "rebuilder.sqlite._database")
    assert read(file) == ""
    assert SqliteQueues(file).receive("q", 1, timedelta()) == []

    assert not file.exists()
    assert f"{file} is not there" in caplog.text


def test_an_empty_file_holds_nothing(file: Path) -> None:
    """Such as one that a process was killed while making."""
    file.touch()

    assert read(file) == ""
    assert file.stat().st_size == 0
    write(file)
    assert read(file) == "kept"


def test_a_question_changes_nothing(file: Path) -> None:
    """Not a byte of the file."""
    write(file)
    close(file)
    before = hashlib.sha256(file.read_bytes()).digest()
    read(file)
    read(file, "two")
    close(file)

    assert hashlib.sha256(file.read_bytes()).digest() == before


def test_connections_are_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that come and go use the same few; none is left open when nobody needs them."""
    made: list[sqlite3.Connection] = []
    opened = _database._connected

    def counted(path: Path) -> sqlite3.Connection:
        made.append(opened(path))
        return made[-1]

    monkeypatch.setattr(_database, "_connected", counted)
    for turn in range(5):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n, turn=turn: write(file, f"{turn} {n}"), range(20)))
            list(pool.map(lambda n: read(file, f"{n}"), range(20)))

    # One that looks at the file, and as many as there were threads.
    assert len(made) <= 6
    close(file)
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_what_nobody_closed_is_closed(file: Path) -> None:
    """Without a warning, once nobody knows the store any more."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bookmarks = SqliteBookmarks(file.with_name("other.db"))
        bookmarks.save(Bookmark("one"))
        del bookmarks
        gc.collect()


def test_a_forked_process_has_its_own_connections(file: Path) -> None:
    """Neither process disturbs the other."""
    keeper = SqliteBookmarks(file)
    keeper.save(Bookmark("one", "kept"))
    child = os.fork()
    if child == 0:
        try:
            write(file, "two")
            os._exit(0 if keeper.read("one").place == "kept" else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    write(file, "three")

    assert os.waitstatus_to_exitcode(status) == 0
    assert [read(file, name) for name in ("one", "two", "three")] == ["kept"] * 3


def test_many_threads_read_where_there_is_no_file(tmp_path: Path) -> None:
    """Each has a connection of its own: two in one at the same time is a misuse of SQLite."""
    index = SqliteIndex(tmp_path / "none.db")
    index.scan(_REGISTRY)
    begin = threading.Barrier(8)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def read(_: int) -> int:
        begin.wait(SECONDS)
        return sum(index.scan(registry) is None for registry in [_REGISTRY] * 300)

    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(read, range(8))) == [300] * 8
    finally:
        sys.setswitchinterval(usual)
    assert not (tmp_path / "none.db").exists()
