"""What other versions have written is read, kept and left alone; on both stores.

`versions/` holds what version 0.1.0 wrote; its `__main__` tells what that was.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from copy import replace
from dataclasses import dataclass
from datetime import timedelta
from itertools import batched
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient

from rebuilder.azure.storage.tables import _version
from rebuilder.azure.storage.tables._version import STORE, StoreVersion
from rebuilder.azure.storage.tables.bookmarks import TableBookmarks
from rebuilder.azure.storage.tables.dead_letters import TableDeadLetters
from rebuilder.azure.storage.tables.index import TableIndex
from rebuilder.azure.storage.tables.ledger import REBUILDS, TableLedger
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.decisions.reasons import REASONS
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.dependencies.index import IndexScan
from rebuilder.core.rebuilds.messages import BUILDS, PUSHES, PlanRebuilds
from rebuilder.core.rebuilds.rebuild import Check, Failure, Native, Rebuild, State
from rebuilder.core.rebuilds.records import (
    VERSION,
    NewerDecision,
    decision_from_text,
    decision_to_text,
    readable,
    rebuild_from_text,
    rebuild_to_text,
    view_from_text,
)
from rebuilder.errors import NewerStore, UnreadableRecord
from rebuilder.ports.bookmarks import Bookmarks
from rebuilder.ports.dead_letters import DeadLetters
from rebuilder.ports.index import DependencyIndex
from rebuilder.ports.ledger import Ledger
from rebuilder.sqlite.bookmarks import SqliteBookmarks
from rebuilder.sqlite.dead_letters import SqliteDeadLetters
from rebuilder.sqlite.index import SqliteIndex
from rebuilder.sqlite.ledger import SqliteLedger
from rebuilder.sqlite.queues import SqliteQueues
from rebuilder.start import refuse_newer_store
from tests.azurite import Azurite
from tests.contract.versions import __main__ as written
from tests.contract.versions.__main__ import (
    APPS,
    BASE,
    FIRST,
    FOREIGN,
    HERE,
    HOUR,
    NEW,
    NOW,
    OLD,
    ONE,
    OUTPUT,
    SECOND,
    THREE,
    TWO,
)


@dataclass
class Store:
    """What is kept, of either kind."""

    ledger: Ledger
    index: DependencyIndex
    bookmarks: Bookmarks
    letters: DeadLetters
    change_record: Callable[[Rebuild, str], None]


@pytest.fixture(scope="module", name="own")
def _own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """An account of this module's own, for it is of an older version."""
    server = Azurite(Path(tmp_path_factory.mktemp("older")))
    yield server
    server.stop()


def _older_tables(service: TableServiceClient) -> None:
    """Make an account what version 0.1.0 left."""
    for there in service.list_tables():
        service.delete_table(there.name)
    kept = json.loads((HERE / "0.1.0.json").read_text(encoding="utf-8"))
    for name, entities in kept.items():
        table = service.create_table(name)
        by_partition: dict[str, list[dict[str, object]]] = {}
        for entity in entities:
            by_partition.setdefault(entity["PartitionKey"], []).append(entity)
        for some in by_partition.values():
            for batch in batched(some, 100, strict=False):
                table.submit_transaction([("create", entity) for entity in batch])


@pytest.fixture(name="store", params=["sqlite", "tables"])
def _store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store that version 0.1.0 has filled."""
    if request.param == "sqlite":
        file = tmp_path / "store.db"
        with closing(sqlite3.connect(file)) as db:
            db.executescript((HERE / "0.1.0.sql").read_text(encoding="utf-8"))

        def change_row(rebuild: Rebuild, record: str) -> None:
            with closing(sqlite3.connect(file)) as db, db:
                db.execute(
                    "UPDATE rebuilds SET record = ? WHERE task = ? AND sequence = ?",
                    (record, str(rebuild.task), rebuild.sequence),
                )

        yield Store(
            SqliteLedger(file),
            SqliteIndex(file),
            SqliteBookmarks(file),
            SqliteDeadLetters(file),
            change_row,
        )
        return
    own: Azurite = request.getfixturevalue("own")
    with TableServiceClient.from_connection_string(own.connection_string) as service:
        _older_tables(service)

        def change_entity(rebuild: Rebuild, record: str) -> None:
            table = service.get_table_client(REBUILDS)
            found = table.query_entities("task eq @task", parameters={"task": str(rebuild.task)})
            (entity,) = (e for e in found if f"-{rebuild.sequence}" in f"-{_sequence(dict(e))}")
            table.update_entity({**entity, "record0": record})

        yield Store(
            TableLedger(service),
            TableIndex(service),
            TableBookmarks(service),
            TableDeadLetters(service),
            change_entity,
        )


def _sequence(entity: dict[str, str]) -> int:
    return 10**10 - int(entity["RowKey"])


def test_pushes_of_the_first_version_are_found(store: Store) -> None:
    """By key, tag, digest and time, although it kept them by repository."""
    ledger = store.ledger
    first = ledger.push(FIRST.key)
    assert first is not None
    assert (first.push, first.deliveries) == (FIRST, 2)
    assert (first.first_at, first.last_at) == (NOW - HOUR, NOW - HOUR / 2)
    assert [r.push for r in ledger.pushes(BASE, "images/node", "9")] == [SECOND, FIRST]
    assert [r.push for r in ledger.pushes(BASE, "images/node", "9", limit=1)] == [SECOND]
    assert [r.push for r in ledger.pushes_of(BASE, "images/node", OLD)] == [first.push]
    foreign = ledger.pushes(FOREIGN.registry, FOREIGN.repository, "3")
    assert [record.push for record in foreign] == [FOREIGN]
    told = ledger.pushes_between(NOW - HOUR, NOW + HOUR)
    assert (told[0].push, told[0].at) == (FIRST, NOW - HOUR)
    assert {one.push for one in told} == {FIRST, SECOND, FOREIGN}
    assert ledger.pushes_between(NOW + HOUR, NOW + 2 * HOUR) == []


def test_what_the_first_version_ignored_and_decided_is_found(store: Store) -> None:
    """With every reason that it knew, in its order."""
    (ignored,) = store.ledger.ignored(str(BASE), "images/node")
    assert (ignored.code, ignored.deliveries, ignored.last_at) == ("no-tag", 2, NOW)
    every = store.ledger.decisions(FIRST)
    assert [record.decision for record in every] == written.first_decisions()
    moved = written.decision(REASONS["base-moved"])
    about = store.ledger.decisions(FIRST, ONE)
    assert (about[0].decision, about[0].last_at) == (moved, NOW)
    assert len(about) == len(every) - 2  # two reasons are about registries
    store.ledger.record_decisions(FIRST, [moved, TaskDisabled(TWO)], NOW + HOUR)

    again = store.ledger.decisions(FIRST)
    assert [record.decision for record in again] == [
        *(record.decision for record in every),
        TaskDisabled(TWO),
    ]
    assert (again[0].first_at, again[0].last_at) == (NOW - HOUR, NOW + HOUR)


def test_rebuilds_of_the_first_version_are_found(store: Store) -> None:
    """Whatever state they are in, by each way that leads to them."""
    ledger = store.ledger
    failed, done = ledger.rebuilds(ONE)
    assert (failed.sequence, failed.state, failed.failure) == (2, State.FAILED, Failure.BUILD)
    assert (done.check, done.native, done.output_images) == (Check.NEW, Native.MISSED, (OUTPUT,))
    assert (done.claimed_at, done.finished_at) == (NOW - HOUR, NOW)
    assert ledger.head(ONE) == failed
    assert ledger.newest_success(ONE) == done == ledger.producer(OUTPUT)
    heads = ledger.heads([ONE, TWO, THREE])
    assert {task: head.state for task, head in heads.items()} == {
        ONE: State.FAILED,
        TWO: State.CLAIMED,
        THREE: State.HELD,
    }
    assert [(r.task, r.sequence) for r in ledger.unsettled()] == [(ONE, 2), (THREE, 1), (TWO, 1)]
    ledger.unsettled(tidy=True)  # as the first sweep does

    held = heads[THREE]
    assert ledger.unsettled_after(ONE) == [held] == ledger.unsettled_after(TWO)
    ledger.save(replace(held, state=State.SKIPPED))
    assert ledger.unsettled_after(ONE) == []
    assert [(r.task, r.sequence) for r in ledger.unsettled()] == [(ONE, 2), (TWO, 1)]


def test_everything_else_of_the_first_version_is_found(store: Store) -> None:
    """The index, its sweep, bookmarks and dead letters."""
    view = store.index.view(ONE)
    assert view is not None
    assert [d.built_on for d in view.view.dependencies] == [OLD]
    assert [i.view.task for i in store.index.dependents("mybase.azurecr.io/images/node")] == [ONE]
    assert store.index.view(TWO) is None
    assert store.index.refreshed(APPS) == NOW - HOUR
    assert store.index.scan(APPS) == IndexScan(APPS, NOW, "after this")
    sweep = store.bookmarks.read("sweep")
    assert (sweep.place, sweep.version) == ("docker.io/library/alpine:3", 2)
    assert store.bookmarks.save(sweep.acquired("me", NOW)).version == 3
    assert store.bookmarks.read(f"pace/{BASE.subscription}").place == NOW.isoformat()
    assert store.letters.failure("rebuilder-builds", "a body") == "ValueError: a reason"
    assert [(letter.reason, letter.at) for letter in store.letters.waiting()] == [
        ("no role", NOW - HOUR)
    ]
    assert [letter.replayed_at for letter in store.letters.all()] == [None, NOW + HOUR]


def test_the_first_versions_pushes_go_on(store: Store) -> None:
    """A delivery more is counted, and the push has its place by tag and day from then on."""
    store.ledger.record_events([FIRST], NOW + HOUR)
    record = store.ledger.push(FIRST.key)

    assert record is not None
    assert (record.first_at, record.deliveries) == (NOW - HOUR, 3)
    assert [r.push for r in store.ledger.pushes(BASE, "images/node", "9")] == [FIRST, SECOND]
    assert [r.push.key for r in store.ledger.unplanned() if r.push == FIRST] == [FIRST.key]


def test_the_first_versions_pushes_were_pushed_when_they_came(store: Store) -> None:
    """Nobody knows whether their last delivery was one more of the same event."""
    before = store.ledger.push(FIRST.key)
    assert before is not None
    assert before.pushed_last is None
    store.ledger.record_events([replace(FIRST, pushed_at=NOW - 9 * HOUR)], NOW)

    after = store.ledger.push(FIRST.key)
    assert after is not None
    assert after.pushed_last == before.last_at


def test_a_file_of_the_version_before_gets_what_is_new(tmp_path: Path) -> None:
    """It is of the same version: that code goes on with it, and adds rows of its own."""
    file = tmp_path / "store.db"
    SqliteLedger(file).record_events([FIRST], NOW)
    with closing(sqlite3.connect(file)) as db:
        db.execute("ALTER TABLE pushes DROP COLUMN pushed_last")
    SqliteLedger(file).record_events([FIRST], NOW + HOUR)
    with closing(sqlite3.connect(file)) as db:
        (noted,) = db.execute("PRAGMA user_version").fetchone()
        db.execute(
            "INSERT INTO pushes (push, repository, tag, digest, pushed_at, event, first_at,"
            " last_at, deliveries) SELECT ?, repository, tag, digest, pushed_at, event, first_at,"
            " last_at, deliveries FROM pushes",
            (SECOND.key,),
        )
        db.commit()

    assert noted == VERSION
    found = {key: SqliteLedger(file).push(key) for key in (FIRST.key, SECOND.key)}
    assert [record and record.deliveries for record in found.values()] == [2, 2]
    assert [record and record.pushed_last for record in found.values()] == [NOW, None]


def test_messages_of_the_first_version_are_received(tmp_path: Path) -> None:
    """Those of the embedded queues lie in the same file."""
    file = tmp_path / "store.db"
    with closing(sqlite3.connect(file)) as db:
        db.executescript((HERE / "0.1.0.sql").read_text(encoding="utf-8"))
    queues = SqliteQueues(file, lambda: NOW + 2 * HOUR)

    (message,) = queues.receive(PUSHES, 10, timedelta(minutes=1))
    assert PlanRebuilds.decode(message.body).push == SECOND
    assert len(queues.receive(BUILDS, 10, timedelta(minutes=1))) == 1


def test_the_oldest_file_is_read(tmp_path: Path) -> None:
    """One from before the first version: what is unsettled is found in its records."""
    file = tmp_path / "store.db"
    claim = Rebuild(ONE, 1, "k", (), "push", State.CLAIMED, NOW, "me", NOW + HOUR)
    with closing(sqlite3.connect(file)) as db:
        db.executescript((HERE / "0.1.0.sql").read_text(encoding="utf-8"))
        for table in ("unsettled", "bookmarks", "failures", "dead_letters"):
            db.execute(f"DROP TABLE {table}")
        db.execute("DELETE FROM rebuilds")
        row = (str(ONE), 1, 1, rebuild_to_text(claim))
        db.execute("INSERT INTO rebuilds VALUES (?, ?, ?, ?)", row)
        db.execute("UPDATE pushes SET last_at = 'no time' WHERE repository LIKE 'docker%'")
        db.execute("PRAGMA user_version = 1")
        db.commit()

    assert SqliteLedger(file).unsettled() == [claim]
    SqliteBookmarks(file).save(Bookmark("sweep"))
    assert SqliteDeadLetters(file).all() == []


def test_what_newer_code_records_besides_is_kept(store: Store) -> None:
    """A field that this code does not know stays when this code changes the record."""
    made = Rebuild(TaskId(APPS, "four"), 1, "k", (), "push", State.CLAIMED, NOW, "me", NOW)
    store.ledger.claim(made)
    values = json.loads(rebuild_to_text(made))
    newer = {**values, "colour": ["red"], "failure": "by the weather", "check": "half new"}
    store.change_record(made, json.dumps(newer))

    found = store.ledger.rebuild(made.task, 1)
    assert found is not None
    assert replace(found, unknown={}) == made
    assert (found.failure, found.check) == (None, None)
    saved = store.ledger.save(replace(found, state=State.FAILED, check=Check.STALE))
    read = store.ledger.rebuild(made.task, 1)
    assert read is not None
    assert replace(read, unknown={}) == replace(saved, unknown={})
    assert read.unknown == {"colour": ["red"], "failure": "by the weather"}
    kept = json.loads(rebuild_to_text(read))
    assert (kept["colour"], kept["failure"], kept["check"]) == (["red"], "by the weather", "stale")


@pytest.mark.parametrize("record", ['{"state": "dreaming"}', '"a word"', "[]", '{"task": 7}'])
def test_a_record_that_cannot_be_read_harms_no_other(
    store: Store, record: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is an error where it is asked for; lists go on without it, and say so."""
    (failed, done) = store.ledger.rebuilds(ONE)
    store.change_record(failed, record)

    with pytest.raises(UnreadableRecord, match="a rebuild cannot be read by this version"):
        store.ledger.rebuild(ONE, 2)
    with pytest.raises(UnreadableRecord):
        store.ledger.head(ONE)
    assert store.ledger.rebuilds(ONE) == [done]
    assert set(store.ledger.heads([ONE, TWO])) == {TWO}
    assert [r.task for r in store.ledger.unsettled()] == [THREE, TWO]
    assert "left out: a rebuild cannot be read" in caplog.text


def test_a_state_of_newer_code_is_not_guessed() -> None:
    """Whatever it means, this code must not build on it."""
    made = Rebuild(ONE, 1, "k", (), "push", State.CLAIMED, NOW, "me", NOW)
    text = rebuild_to_text(made).replace('"claimed"', '"dreaming"')

    with pytest.raises(UnreadableRecord, match="dreaming"):
        rebuild_from_text(text)


@pytest.mark.parametrize(
    ("record", "about"),
    [
        ({"code": "dreamt", "task": str(ONE)}, str(ONE)),
        ({"code": "dreamt", "registry": str(APPS)}, str(APPS)),
        ({"code": "dreamt"}, "?"),
    ],
)
def test_a_reason_of_newer_code_is_shown_by_its_name(record: dict[str, str], about: str) -> None:
    """A person reads that there is one, and which."""
    decision = decision_from_text(json.dumps(record))

    assert decision == NewerDecision(about, "dreamt")
    assert not decision.rebuild
    assert "a newer version of this program decided so (dreamt)" in decision.sentence()


def test_what_is_no_record_is_told() -> None:
    """Of each kind; a list goes on."""
    with pytest.raises(UnreadableRecord, match="a decision"):
        decision_from_text("{}")
    with pytest.raises(UnreadableRecord, match="what is known of a task"):
        view_from_text("{}")
    good = decision_to_text(TaskDisabled(ONE))
    assert list(readable(decision_from_text, ["{}", good])) == [TaskDisabled(ONE)]


def test_newer_tables_are_left_alone(own: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read, nothing written, by a process that uses them already, too."""
    monkeypatch.setattr(_version, "_LOOK_SECONDS", 0)
    with TableServiceClient.from_connection_string(own.connection_string) as service:
        _older_tables(service)
        ledger, bookmarks = TableLedger(service), TableBookmarks(service)
        ledger.record_events([SECOND], NOW)
        table = service.get_table_client(STORE)
        table.update_entity({"PartitionKey": "store", "RowKey": "version", "version": 99})
        uses: list[Callable[[], object]] = [
            lambda: ledger.record_events([FIRST], NOW),
            lambda: ledger.push(FIRST.key),
            lambda: ledger.claim(
                Rebuild(ONE, 9, "k", (), "push", State.CLAIMED, NOW, "me", NOW + HOUR)
            ),
            lambda: bookmarks.save(Bookmark("new")),
            lambda: bookmarks.read("sweep"),
            lambda: TableIndex(service).remove(ONE, NOW + HOUR),
            lambda: TableDeadLetters(service).all(),
        ]
        for use in uses:
            with pytest.raises(NewerStore, match=rf"version 99; .* up to {VERSION} and takes"):
                use()
        table.update_entity({"PartitionKey": "store", "RowKey": "version", "version": VERSION})

        # What was put back is used again, without a restart.
        record = ledger.push(FIRST.key)
        assert record is not None
        assert record.deliveries == 2


def test_the_version_is_noted_with_the_first_record(own: Azurite) -> None:
    """Not by a question; and then whoever comes later finds it."""
    with TableServiceClient.from_connection_string(own.connection_string) as service:
        for table in service.list_tables():
            service.delete_table(table.name)
        assert TableLedger(service).push(FIRST.key) is None
        assert [table.name for table in service.list_tables()] == []
        TableBookmarks(service).save(Bookmark("sweep"))
        (noted,) = service.get_table_client(STORE).list_entities()
        assert (noted["version"], noted["filed"]) == (VERSION, True)
        _older_tables(service)
        assert not StoreVersion(service).filed
        older = StoreVersion(service)
        older.ensure()
        assert not older.filed
        older.mark_filed()
        assert StoreVersion(service).filed


def test_an_app_does_not_start_on_a_newer_store(own: Azurite, tmp_path: Path) -> None:
    """It would take events that only the newer code may have; whatever else is wrong, it starts."""
    env = {"REBUILDER_BASE_REGISTRIES": str(BASE), "REBUILDER_TASK_REGISTRIES": str(APPS)}
    file = tmp_path / "store.db"
    kinds = [f"sqlite:{file}", own.connection_string]
    with TableServiceClient.from_connection_string(own.connection_string) as service:
        _older_tables(service)
        for storage in kinds:
            refuse_newer_store({**env, "AzureWebJobsStorage": storage})
        with closing(sqlite3.connect(file)) as db:
            db.execute("PRAGMA user_version = 99")
        service.create_table(STORE).upsert_entity(
            {"PartitionKey": "store", "RowKey": "version", "version": 99, "filed": True}
        )
        for storage in kinds:
            with pytest.raises(NewerStore, match="use the newer code"):
                refuse_newer_store({**env, "AzureWebJobsStorage": storage})
        service.delete_table(STORE)
    nowhere = (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;"
        "TableEndpoint=http://127.0.0.1:1/a;"
    )
    for storage in ("rubbish", f"sqlite:{tmp_path}", nowhere):
        refuse_newer_store({**env, "AzureWebJobsStorage": storage})
    refuse_newer_store({})


def test_old_and_new_digests_are_what_the_files_say() -> None:
    """The samples are about two images."""
    assert {OLD, NEW} == {f"sha256:{letter * 64}" for letter in "ab"}
