"""What is forgotten of the past, and what never is; on SQLite and on Azure Storage tables.

The tables are an account of this module's own: a round goes through all that there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import replace
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from azure.data.tables import TableServiceClient

from rebuilder.azure.storage.tables import _retirement
from rebuilder.azure.storage.tables._version import StoreVersion
from rebuilder.azure.storage.tables.bookmarks import TableBookmarks
from rebuilder.azure.storage.tables.dead_letters import TableDeadLetters
from rebuilder.azure.storage.tables.ledger import OUTPUTS, TableLedger
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.decisions.digests import AlreadyBuiltOn
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.events.pushes import NoTag, Push
from rebuilder.core.rebuilds.history import KEPT
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.ports.bookmarks import Bookmarks
from rebuilder.ports.dead_letters import DeadLetters
from rebuilder.ports.ledger import Ledger, Retired
from rebuilder.sqlite import _database
from rebuilder.sqlite import ledger as sqlite_ledger
from rebuilder.sqlite.bookmarks import SqliteBookmarks
from rebuilder.sqlite.dead_letters import SqliteDeadLetters
from rebuilder.sqlite.ledger import SqliteLedger
from tests.azurite import Azurite
from tests.contract.test_versions import _older_tables
from tests.contract.versions import __main__ as written

BASE = RegistryId("s1", "g", "mybase")
APPS = RegistryId("s1", "g", "myapps")
TASK = TaskId(APPS, "build-app")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
OLD, YOUNG = NOW - 100 * DAY, NOW - DAY
LIMIT = NOW - 90 * DAY
DIGEST = f"sha256:{'a' * 64}"
PUSH = Push(BASE, "images/node", "9", DIGEST, None, "event")


@dataclass
class Store:
    """What is kept, of either kind."""

    ledger: Ledger
    bookmarks: Bookmarks
    letters: DeadLetters


@pytest.fixture(scope="module", name="own")
def _own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    server = Azurite(Path(tmp_path_factory.mktemp("own")))
    yield server
    server.stop()


def _empty(service: TableServiceClient) -> None:
    for table in service.list_tables():
        service.delete_table(table.name)


@pytest.fixture(name="store", params=["sqlite", "tables"])
def _store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """An empty store whose steps are small, so that there are many."""
    monkeypatch.setattr(_database, "_SOME", 7)
    monkeypatch.setattr(sqlite_ledger, "_TASKS", 2)
    monkeypatch.setattr(sqlite_ledger, "_OLD", 9)
    monkeypatch.setattr(_retirement, "_PAGE", 11)
    if request.param == "sqlite":
        file = tmp_path / "store.db"
        yield Store(SqliteLedger(file), SqliteBookmarks(file), SqliteDeadLetters(file))
        return
    own: Azurite = request.getfixturevalue("own")
    with TableServiceClient.from_connection_string(own.connection_string) as service:
        _empty(service)
        yield Store(TableLedger(service), TableBookmarks(service), TableDeadLetters(service))


class Retiring(Protocol):
    """A part of a store that forgets."""

    def retire(self, before: datetime, place: str, /) -> Retired:
        """Do a step."""


def round_(part: Retiring, before: datetime = LIMIT) -> int:
    """Go through everything; return how many records were removed."""
    removed, place = 0, ""
    for _ in range(300):
        done = part.retire(before, place)
        removed, place = removed + done.removed, done.place
        if not place:
            return removed
    raise AssertionError("it never ends")


def test_old_pushes_go_with_all_that_finds_them(store: Store) -> None:
    """Those that were last told long ago; not what was told again since."""
    ledger = store.ledger
    pushes = [replace(PUSH, tag=f"t{number}") for number in range(25)]
    ledger.record_events(pushes, OLD)
    again, young = replace(PUSH, tag="again"), replace(PUSH, tag="young")
    ledger.record_events([again], OLD)
    ledger.record_events([again], YOUNG)
    ledger.record_events([young], YOUNG)
    assert round_(ledger) >= 25

    assert [ledger.push(push.key) for push in pushes] == [None] * 25
    for push in (again, young):
        record = ledger.push(push.key)
        assert record is not None
        assert ledger.pushes(BASE, "images/node", push.tag) == [record]
    assert {r.push.tag for r in ledger.pushes_of(BASE, "images/node", DIGEST)} == {"again", "young"}
    assert ledger.pushes(BASE, "images/node", "t3") == []
    assert [d.push for d in ledger.pushes_between(YOUNG, NOW)] == [young]
    assert ledger.pushes_between(LIMIT, YOUNG) == []
    # A day that is gone may be gone with pushes that were told again since.
    assert [d.push.tag for d in ledger.pushes_between(OLD - DAY, OLD + DAY)] in ([], ["again"])
    assert round_(ledger) == 0


def test_old_decisions_and_ignored_events_go(store: Store) -> None:
    """By when they were last made or told, whatever push they belong to."""
    ledger, source = store.ledger, str(BASE)
    disabled = [TaskDisabled(TaskId(APPS, f"task-{number}")) for number in range(25)]
    ledger.record_decisions(PUSH, disabled, OLD)
    built = AlreadyBuiltOn(TASK, "i:1", DIGEST, "registry")
    ledger.record_decisions(PUSH, [disabled[0], built], YOUNG)
    for number in range(15):
        ledger.record_events([NoTag("e", source, f"r@{number}", f"{number}")], OLD)
    ledger.record_events([NoTag("e", source, "r@3", "3")], YOUNG)
    round_(ledger)

    assert [record.decision for record in ledger.decisions(PUSH)] == [disabled[0], built]
    assert [record.subject for record in ledger.ignored(source, "r")] == ["r@3"]


def over(task: TaskId, sequence: int, at: datetime, state: State = State.FAILED) -> Rebuild:
    """Return a rebuild that was over at a time."""
    image = f"myapps.azurecr.io/{task.name}:{sequence}@{DIGEST}"
    made = Rebuild(task, sequence, f"k{sequence}", (), "push", state, at, "me", at)
    return replace(made, finished_at=at, output_images=(image,))


def add(ledger: Ledger, rebuild: Rebuild) -> None:
    """Store a rebuild."""
    assert ledger.claim(rebuild)
    ledger.save(rebuild)


def sequences(ledger: Ledger, task: TaskId) -> list[int]:
    """Return which rebuilds of a task are kept."""
    return [rebuild.sequence for rebuild in ledger.rebuilds(task, 100)]


def test_the_newest_rebuilds_stay(store: Store) -> None:
    """Twenty of each task, however old; what is older goes with the notes about it."""
    ledger = store.ledger
    tasks = {TaskId(APPS, f"task-{number}"): count for number, count in enumerate((45, 20, 3, 26))}
    for task, count in tasks.items():
        for sequence in range(1, count + 1):
            add(ledger, over(task, sequence, OLD, State.SUCCEEDED))
    assert round_(ledger) == 25 + 6

    for task, count in tasks.items():
        kept = list(range(count, max(count - KEPT, 0), -1))
        assert sequences(ledger, task) == kept
        for sequence in range(1, count + 1):
            image = over(task, sequence, OLD).output_images[0]
            assert (ledger.producer(image) is not None) == (sequence in kept)


def test_what_is_young_unsettled_or_the_newest_success_stays(store: Store) -> None:
    """However many newer ones there are."""
    ledger = store.ledger
    special = {
        2: over(TASK, 2, OLD, State.SUCCEEDED),  # not the newest success
        3: over(TASK, 3, OLD, State.SUCCEEDED),  # the newest
        4: replace(over(TASK, 4, OLD, State.RUNNING), finished_at=None),
        5: replace(over(TASK, 5, OLD), due=OLD),
        6: over(TASK, 6, YOUNG),
    }
    for sequence in range(1, 31):
        add(ledger, special.get(sequence, over(TASK, sequence, OLD)))
    assert round_(ledger) == 6  # 1, 2, and 7 to 10

    assert sequences(ledger, TASK) == [*range(30, 10, -1), 6, 5, 4, 3]
    newest = ledger.newest_success(TASK)
    assert newest is not None
    assert newest.sequence == 3
    assert {rebuild.sequence for rebuild in ledger.unsettled()} == {4, 5}


def test_dead_letters_go_once_they_were_replayed(store: Store) -> None:
    """Long ago; one that nobody has replayed is kept for ever. Failures are old by their time."""
    letters = store.letters
    kept = [DeadLetter(Origin.QUEUE, "q", f"{number}", "no", OLD) for number in range(20)]
    for letter in kept:
        letters.record(letter)
    for letter in kept[:15]:
        letters.mark_replayed(letter.id, OLD)
    letters.mark_replayed(kept[15].id, YOUNG)
    for number in range(12):
        letters.record_failure("q", f"{number}", "ValueError", OLD)
    letters.record_failure("q", "young", "KeyError", YOUNG)
    assert round_(letters) == 15 + 12

    assert {letter.body for letter in letters.all()} == {"15", "16", "17", "18", "19"}
    assert letters.letter(kept[0].id) is None
    assert letters.letter(kept[19].id) == kept[19]
    assert len(letters.waiting()) == 4
    assert (letters.failure("q", "3"), letters.failure("q", "young")) == (None, "KeyError")


def test_bookmarks_go_when_their_time_is_over(store: Store) -> None:
    """Most are kept for ever."""
    for number in range(20):
        store.bookmarks.save(Bookmark(f"wait/{number}", "1", kept_until=YOUNG))
    store.bookmarks.save(Bookmark("wait/young", "1", kept_until=NOW + DAY))
    store.bookmarks.save(Bookmark("sweep", "there"))
    assert store.bookmarks.read("wait/young").kept_until == NOW + DAY
    assert round_(store.bookmarks, NOW) == 20

    assert store.bookmarks.read("wait/3") == Bookmark("wait/3")
    assert store.bookmarks.read("wait/young").place == "1"
    assert store.bookmarks.read("sweep").place == "there"


def test_what_was_changed_meanwhile_stays(own: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told again between the look and the removal, or removed by another: neither is an error."""
    with TableServiceClient.from_connection_string(own.connection_string) as service:
        _empty(service)
        ledger = TableLedger(service)
        gone, again = replace(PUSH, tag="gone"), replace(PUSH, tag="again")
        for push in (PUSH, gone, again):
            ledger.record_events([push], OLD)
        look = _retirement.page

        def meanwhile(*arguments: object) -> object:
            found = look(*arguments)  # type: ignore[arg-type] # passed on
            with monkeypatch.context() as within:
                within.setattr("rebuilder.azure.storage.tables.ledger.page", look)
                if ledger.push(gone.key):
                    ledger.record_events([again], YOUNG)
                    round_(ledger)
            return found

        monkeypatch.setattr("rebuilder.azure.storage.tables.ledger.page", meanwhile)
        round_(ledger)

        assert ledger.push(PUSH.key) is None
        record = ledger.push(again.key)
        assert record is not None
        assert record.deliveries == 2
        assert ledger.pushes(BASE, "images/node", "again") == [record]


def test_what_the_first_version_left_is_filed(own: Azurite) -> None:
    """A round gives its records the places of this version; then they are found by those alone."""
    with TableServiceClient.from_connection_string(own.connection_string) as service:
        _older_tables(service)
        ledger, bookmarks = TableLedger(service), TableBookmarks(service)
        bookmarks.save(Bookmark("wait/new", "1", kept_until=NOW))
        before = written.NOW - 10 * DAY
        assert round_(bookmarks, before) == 1  # what counted waits, of nobody knows which
        assert not StoreVersion(service).filed
        assert round_(ledger, before) == 0
        assert StoreVersion(service).filed
        assert bookmarks.read("wait/new").place == "1"

        registry, first = written.BASE, written.FIRST
        found = ledger.pushes(registry, "images/node", "9")
        assert [record.push for record in found] == [written.SECOND, first]
        assert [r.push for r in ledger.pushes_of(registry, "images/node", written.OLD)] == [first]
        told = ledger.pushes_between(written.NOW - written.HOUR, written.NOW + written.HOUR)
        assert {one.push for one in told} == {first, written.SECOND, written.FOREIGN}
        (ignored,) = ledger.ignored(str(registry), "images/node")
        assert ignored.deliveries == 2
        every = [record.decision for record in ledger.decisions(first)]
        assert every == written.first_decisions()
        assert len(ledger.decisions(first, written.ONE)) == len(every) - 2
        # Once more, with filters by now: nothing is old yet, and then everything is.
        assert round_(ledger, before) == 0
        assert round_(ledger, NOW) > 0
        assert ledger.push(first.key) is None
        assert ledger.decisions(first) == []
        assert [r.sequence for r in ledger.rebuilds(written.ONE)] == [2, 1]


def test_old_records_of_the_first_version_go_unfiled(own: Azurite) -> None:
    """Nothing is filed that is to be removed."""
    with TableServiceClient.from_connection_string(own.connection_string) as service:
        _older_tables(service)
        ledger = TableLedger(service)
        assert round_(ledger, NOW) > 0
        assert ledger.pushes(written.BASE, "images/node", "9") == []
        assert ledger.decisions(written.FIRST) == []
        table = service.get_table_client(OUTPUTS)
        assert len(list(table.list_entities())) == 1  # that of a rebuild that stays


def test_a_place_that_nobody_knows_is_the_beginning(store: Store) -> None:
    """Such as one that another store has left: the round goes through all, and ends."""
    store.ledger.record_events([PUSH], OLD)
    place = "rubbish"
    for _ in range(20):
        place = store.ledger.retire(LIMIT, place).place
        if not place:
            break

    assert place == ""
    assert store.ledger.push(PUSH.key) is None
