"""What every Bookmarks must do; run on SQLite and on Azure Storage tables (Azurite)."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from copy import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient

from rebuilder.azure.storage.tables.bookmarks import TableBookmarks
from rebuilder.core.bookmarks import Bookmark
from rebuilder.errors import Conflict
from rebuilder.ports.bookmarks import Bookmarks
from rebuilder.sqlite.bookmarks import SqliteBookmarks

NOW = datetime(2026, 3, 4, 5, 6, 7, 891234, UTC)


@pytest.fixture(name="bookmarks")
def _bookmarks(place: Path | TableServiceClient) -> Bookmarks:
    return SqliteBookmarks(place) if isinstance(place, Path) else TableBookmarks(place)


@pytest.fixture(name="name")
def _name() -> str:
    # Its own for every test: Azurite is shared.
    return f"sweep/{uuid.uuid4().hex}/ü"


def test_one_that_was_never_saved_is_new(bookmarks: Bookmarks, name: str) -> None:
    """It has no place, no owner and no version, and is free."""
    assert bookmarks.read(name) == Bookmark(name)
    assert bookmarks.read(name).free(NOW)


def test_a_bookmark_comes_back_as_it_was(bookmarks: Bookmarks, name: str) -> None:
    """Place, owner and lease are kept; each change is a version."""
    taken = bookmarks.save(Bookmark(name).acquired("me", NOW + timedelta(minutes=1)))
    assert bookmarks.read(name) == taken
    assert (taken.version, taken.free(NOW), taken.free(NOW + timedelta(minutes=1))) == (
        1,
        False,
        True,
    )
    done = bookmarks.save(taken.released("pläce" * 10_000))

    assert bookmarks.read(name) == done
    assert (done.version, done.owner, done.lease_until) == (2, "", None)


def test_only_the_current_version_can_be_changed(bookmarks: Bookmarks, name: str) -> None:
    """A change that was made from an older version, or from none, is refused."""
    first = bookmarks.save(Bookmark(name, "a"))
    bookmarks.save(replace(first, place="b"))

    for late in (first, Bookmark(name, "c"), replace(first, version=7)):
        with pytest.raises(Conflict):
            bookmarks.save(late)
    assert bookmarks.read(name).place == "b"


def test_one_that_was_never_saved_cannot_be_changed(bookmarks: Bookmarks, name: str) -> None:
    """Somebody has deleted it, perhaps."""
    with pytest.raises(Conflict):
        bookmarks.save(Bookmark(name, version=3))


@pytest.mark.parametrize("there", [False, True])
def test_of_concurrent_changes_one_wins(bookmarks: Bookmarks, name: str, *, there: bool) -> None:
    """Of instances that take the lease at once, one has it."""
    mark = bookmarks.save(Bookmark(name)) if there else Bookmark(name)

    def take(owner: int) -> bool:
        try:
            bookmarks.save(mark.acquired(str(owner), NOW))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 1
