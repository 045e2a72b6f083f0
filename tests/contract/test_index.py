"""What every DependencyIndex must do; run on SQLite and on Azure Storage tables (Azurite)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.data.tables import TableServiceClient, TableTransactionError

from rebuilder.azure.storage.tables.index import DEPENDENTS, TableIndex
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Kind, Makes, Output
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, TaskView, join
from rebuilder.core.dependencies.index import IndexedTask, IndexScan
from rebuilder.core.rebuilds.records import view_to_text
from rebuilder.errors import Refused, TransientError
from rebuilder.ports.index import DependencyIndex
from rebuilder.sqlite.index import SqliteIndex
from tests.azurite import Azurite

NOON = datetime(2026, 3, 4, 12, 0, 0, 123456, UTC)
LATER = NOON + timedelta(minutes=1)
DIGEST = "sha256:" + "a" * 64


@pytest.fixture(name="index", params=["sqlite", "tables"])
def _index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DependencyIndex]:
    if request.param == "sqlite":
        yield SqliteIndex(tmp_path / "index.db")
        return
    yield request.getfixturevalue("tables")


@pytest.fixture(name="tables")
def _tables(azurite: Azurite) -> Iterator[TableIndex]:
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        yield TableIndex(service)


@pytest.fixture(name="apps")
def _apps() -> RegistryId:
    # Its own for every test: Azurite is shared.
    return RegistryId(uuid.uuid4().hex, "apps", "myapps")


@pytest.fixture(name="repository")
def _repository(apps: RegistryId) -> str:
    return f"mybase.azurecr.io/{apps.subscription}/node"


@pytest.fixture(name="other")
def _other(apps: RegistryId) -> str:
    return f"mybase.azurecr.io/{apps.subscription}/go"


def view(apps: RegistryId, *repositories: str, name: str = "build-app", tag: str = "9") -> TaskView:
    """Return what is known of a task that is built on tags of repositories."""
    said = tuple(
        Said(ImageReference.parse(f"{repository}:{tag}"), Kind.RUNTIME, DIGEST)
        for repository in repositories
    )
    return join(TaskId(apps, name), [Evidence(Source.ACR_RECORD, said)])


def names(found: list[IndexedTask]) -> list[str]:
    """Return the names of tasks."""
    return [indexed.view.task.name for indexed in found]


def test_an_empty_index_knows_nothing(
    index: DependencyIndex, apps: RegistryId, repository: str
) -> None:
    """Every question can be asked before anything was stored."""
    assert index.dependents(repository) == []
    assert index.view(TaskId(apps, "build-app")) is None
    assert index.views(apps) == []
    assert index.unseen(apps, NOON) == []
    assert index.refreshed(apps) is None
    assert apps not in index.refreshes()
    assert index.scan(apps) is None
    index.replace_many([])


def test_a_view_comes_back_as_it_was(
    index: DependencyIndex, apps: RegistryId, repository: str
) -> None:
    """Every field survives, also where it is longer than a property of a table may be."""
    reference = ImageReference.parse(f"{repository}:9")
    pinned = reference.at(DIGEST)
    stored = TaskView(
        TaskId(apps, "build-app"),
        (
            Evidence(Source.ACR_RECORD, (Said(reference, Kind.RUNTIME, DIGEST),)),
            Evidence(
                Source.BUILD_FILE,
                (
                    Said(
                        pinned, Kind.FRONTEND, None, "Dockerfile, line 1: # syntax=… ünd so weiter"
                    ),
                ),
                "x" * 70_000,
                "c0ffee",
            ),
            Evidence(Source.OUTPUT_IMAGE, (), "cannot be read"),
        ),
        join(
            TaskId(apps, "x"), [Evidence(Source.ACR_RECORD, (Said(reference, Kind.BUILD_TIME),))]
        ).dependencies,
        ("one says this", "the other says that"),
    )
    assert index.replace(stored, NOON)

    expected = IndexedTask(stored, NOON)
    assert index.view(stored.task) == expected
    assert index.views(apps) == [expected]
    assert index.dependents(repository) == [expected]


def test_producers_are_those_that_push_to_a_repository(
    index: DependencyIndex, apps: RegistryId, repository: str, other: str
) -> None:
    """As their views name what they push; who reads it is none, and who stopped is none."""
    base = view(apps, other, name="base")
    index.replace(replace(base, output=Output(Makes.IMAGE, (f"{repository}:9",))), NOON)
    index.replace(view(apps, repository, name="reader"), NOON)

    assert names(index.producers(repository)) == ["base"]
    assert names(index.dependents(repository)) == ["reader"]
    assert index.producers(other) == []
    index.replace(replace(base, output=Output(Makes.IMAGE, (f"{other}:9",))), LATER)
    assert index.producers(repository) == []
    assert names(index.producers(other)) == ["base"]


def test_dependents_are_those_of_one_repository(
    index: DependencyIndex, apps: RegistryId, repository: str, other: str
) -> None:
    """Each task stands under every repository that it names, once, and under no other."""
    both = view(apps, repository, other, name="both")
    index.replace(both, NOON)
    index.replace(view(apps, repository, name="another"), NOON)
    index.replace(view(apps, name="nothing"), NOON)
    twice = join(both.task, [Evidence(Source.ACR_RECORD, _twice(repository))])
    index.replace(replace(twice, task=TaskId(apps, "twice")), NOON)

    assert names(index.dependents(repository)) == ["another", "both", "twice"]
    assert names(index.dependents(other)) == ["both"]
    assert names(index.views(apps)) == ["another", "both", "nothing", "twice"]


def _twice(repository: str) -> tuple[Said, ...]:
    first = ImageReference.parse(f"{repository}:1")
    return Said(first, Kind.RUNTIME), Said(replace(first, tag="2"), Kind.BUILD_TIME)


def test_a_newer_view_takes_the_place_of_an_older_one(
    index: DependencyIndex, apps: RegistryId, repository: str, other: str
) -> None:
    """A task that moved to another repository leaves the first, and may come back."""
    index.replace(view(apps, repository), NOON)
    index.replace(view(apps, other), LATER)
    assert index.dependents(repository) == []
    assert index.dependents(other) == [IndexedTask(view(apps, other), LATER)]
    index.replace(view(apps, repository, tag="10"), LATER)

    assert index.dependents(repository) == [IndexedTask(view(apps, repository, tag="10"), LATER)]
    assert index.dependents(other) == []


def test_an_older_view_is_not_stored(
    index: DependencyIndex, apps: RegistryId, repository: str, other: str
) -> None:
    """What was read earlier never replaces what was read later, in whatever order they come."""
    assert index.replace(view(apps, other), LATER)
    assert not index.replace(view(apps, repository), NOON)
    assert not index.remove(view(apps).task, NOON)
    index.replace_many([IndexedTask(view(apps, repository), NOON)])

    assert index.dependents(repository) == []
    assert names(index.dependents(other)) == ["build-app"]


def test_a_removed_task_is_forgotten(
    index: DependencyIndex, apps: RegistryId, repository: str
) -> None:
    """A slow writer that still saw the task does not bring it back; a new task does."""
    index.replace(view(apps, repository), NOON)
    assert index.remove(view(apps).task, LATER)
    assert not index.replace(view(apps, repository), NOON)

    assert index.view(view(apps).task) is None
    assert index.views(apps) == []
    assert index.dependents(repository) == []
    assert index.unseen(apps, LATER + timedelta(days=1)) == []
    assert index.replace(view(apps, repository), LATER)
    assert names(index.dependents(repository)) == ["build-app"]


def test_a_removal_is_remembered_for_an_hour(
    index: DependencyIndex, apps: RegistryId, repository: str
) -> None:
    """After that nobody can be so slow, and a complete sweep forgets it."""
    for name in ("early", "late"):
        index.replace(view(apps, repository, name=name), NOON)
    index.remove(TaskId(apps, "early"), NOON)
    index.remove(TaskId(apps, "late"), LATER)
    index.mark_refreshed(apps, NOON + timedelta(hours=1, seconds=1))

    assert index.replace(view(apps, repository, name="early"), NOON - timedelta(days=1))
    assert not index.replace(view(apps, repository, name="late"), NOON)
    assert names(index.dependents(repository)) == ["early"]


def test_many_views_at_once(index: DependencyIndex, apps: RegistryId, repository: str) -> None:
    """More than a transaction holds, of several registries, new ones and known ones."""
    others = replace(apps, name="theirapps")
    index.replace(view(apps, repository, name="task-007", tag="1"), NOON)
    many = [
        IndexedTask(view(registry, repository, name=f"task-{number:03}"), LATER)
        for registry in (apps, others)
        for number in range(130)
    ]
    index.replace_many(many)
    index.replace_many(many[:3])

    assert index.dependents(repository) == many
    assert index.views(others) == many[130:]
    index.replace_many(
        [replace(indexed, view=view(apps, name="task-007")) for indexed in many[7:8]]
    )
    assert len(index.dependents(repository)) == 259


def test_unseen_tasks_are_those_read_before(
    index: DependencyIndex, apps: RegistryId, repository: str
) -> None:
    """At the end of a sweep they are the ones that the list did not name."""
    index.replace(view(apps, repository, name="before"), NOON - timedelta(microseconds=1))
    index.replace(view(apps, repository, name="during"), NOON)
    elsewhere = replace(apps, name="theirapps")
    index.replace(view(elsewhere, repository, name="before"), NOON - timedelta(hours=1))

    assert index.unseen(apps, NOON) == [TaskId(apps, "before")]


def test_the_newest_complete_sweep_counts(index: DependencyIndex, apps: RegistryId) -> None:
    """A slower sweep that began earlier does not make the index look older, or newer."""
    index.mark_refreshed(apps, LATER)
    index.mark_refreshed(apps, NOON)

    assert index.refreshed(apps) == LATER
    assert index.refreshes()[apps] == LATER


def test_a_sweep_can_be_gone_on_with(index: DependencyIndex, apps: RegistryId) -> None:
    """Where it is to go on is kept, however long that is, until it is complete."""
    index.save_scan(
        IndexScan(apps, NOON, "https://management.azure.com/?$skipToken=" + "x" * 40_000)
    )
    index.save_scan(IndexScan(apps, NOON, "short"))
    assert index.scan(apps) == IndexScan(apps, NOON, "short")
    assert index.refreshed(apps) is None
    assert apps not in index.refreshes()
    index.mark_refreshed(apps, NOON - timedelta(hours=1))
    assert index.scan(apps) == IndexScan(apps, NOON, "short")
    index.mark_refreshed(apps, NOON)

    assert index.scan(apps) is None
    index.save_scan(IndexScan(apps, LATER, "again"))
    assert index.refreshed(apps) == NOON


def test_many_refresh_one_task_at_once(
    index: DependencyIndex, apps: RegistryId, repository: str, other: str
) -> None:
    """Whoever read last wins, and every partition agrees with the view."""
    places = (repository, other)

    def refresh(number: int) -> bool:
        at = NOON + timedelta(seconds=number)
        if number % 5 == 4:
            return index.remove(TaskId(apps, "build-app"), at)
        return index.replace(view(apps, places[number % 2], tag=str(number)), at)

    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(refresh, [*range(1, 16), 16, 0, 3]))

    assert stored[15]
    last = IndexedTask(view(apps, repository, tag="16"), NOON + timedelta(seconds=16))
    assert index.view(last.view.task) == last
    assert index.dependents(repository) == [last]
    assert index.dependents(other) == []


def test_an_unreachable_store_is_transient(tmp_path: Path, apps: RegistryId) -> None:
    """A store that cannot be used now raises what is delivered again."""
    nowhere = (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;"
        "TableEndpoint=http://127.0.0.1:1/a;"
    )
    with pytest.raises(TransientError):
        SqliteIndex(tmp_path).replace(view(apps), NOON)
    with TableServiceClient.from_connection_string(nowhere, retry_total=0) as service:
        tables = TableIndex(service)
        calls: list[Callable[[], object]] = [
            lambda: tables.replace(view(apps), NOON),
            lambda: tables.replace_many([IndexedTask(view(apps), NOON)]),
            lambda: tables.remove(view(apps).task, NOON),
            lambda: tables.dependents("x"),
            lambda: tables.view(view(apps).task),
            lambda: tables.views(apps),
            lambda: tables.unseen(apps, NOON),
            lambda: tables.refreshed(apps),
            tables.refreshes,
            lambda: tables.mark_refreshed(apps, NOON),
            lambda: tables.scan(apps),
            lambda: tables.save_scan(IndexScan(apps, NOON)),
        ]
        for call in calls:
            with pytest.raises(TransientError):
                call()


class Cut(TableIndex):
    """An index whose connection is cut after so many changes."""

    def __init__(self, service: TableServiceClient, changes: int) -> None:
        super().__init__(service)
        self.left = changes
        table = self._tables.table
        self._tables.table = lambda name: _Counted(table(name), self)  # type: ignore[method-assign,assignment,return-value] # the seam of this test


class _Counted:
    """A table whose changes are counted, and cut off when there were enough."""

    def __init__(self, table: Any, index: Cut) -> None:  # noqa: ANN401 - stands for any table
        self._table = table
        self._index = index

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the table has
        if name in ("create_entity", "update_entity", "delete_entity", "submit_transaction"):
            if self._index.left == 0:
                raise ServiceRequestError("cut")
            self._index.left -= 1
        return getattr(self._table, name)


@pytest.mark.parametrize("changes", range(6))
@pytest.mark.parametrize("gone", [False, True])
def test_a_crash_between_two_writes_is_mended_and_loses_nobody(
    azurite: Azurite,
    tables: TableIndex,
    apps: RegistryId,
    repository: str,
    other: str,
    changes: int,
    *,
    gone: bool,
) -> None:
    """A task always stands under each repository that both views name; then all is well."""
    kept = f"{repository}-kept"
    tables.replace(view(apps, repository, kept), NOON)
    task = TaskId(apps, "build-app")
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        cut = Cut(service, changes)
        try:
            cut.remove(task, LATER) if gone else cut.replace(view(apps, kept, other), LATER)
        except TransientError:
            if not gone:
                assert names(tables.dependents(kept)) == ["build-app"]
                under = [*tables.dependents(repository), *tables.dependents(other)]
                assert names(under[:1]) == ["build-app"]
    again = LATER + timedelta(minutes=1)
    if gone:
        tables.remove(task, again)
    else:
        tables.replace(view(apps, kept, other), again)

    found = {name: names(tables.dependents(name)) for name in (repository, kept, other)}
    expected = [] if gone else ["build-app"]
    assert found == {repository: [], kept: expected, other: expected}


def test_what_a_slower_writer_put_back_is_removed_once_more(
    azurite: Azurite, tables: TableIndex, apps: RegistryId, repository: str, other: str
) -> None:
    """A row that a crashed writer left under a former repository goes with the next refresh."""
    tables.replace(view(apps, repository), NOON)
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        table = service.get_table_client(DEPENDENTS)
        (row,) = [dict(e) for e in table.list_entities() if e["repository"] == repository]
        tables.replace(view(apps, other), LATER)
        table.create_entity(row)
    assert names(tables.dependents(repository)) == ["build-app"]
    tables.replace(view(apps, other), LATER + timedelta(minutes=1))

    assert tables.dependents(repository) == []
    assert names(tables.dependents(other)) == ["build-app"]


def test_what_a_slower_writer_put_back_of_a_gone_task_goes_with_the_sweep(
    azurite: Azurite, tables: TableIndex, apps: RegistryId, repository: str
) -> None:
    """When a gone task is forgotten, its rows are removed once more."""
    tables.replace(view(apps, repository), NOON)
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        table = service.get_table_client(DEPENDENTS)
        (row,) = [dict(e) for e in table.list_entities() if e["repository"] == repository]
        tables.remove(view(apps).task, LATER)
        table.create_entity(row)
    tables.mark_refreshed(apps, LATER + timedelta(hours=2))

    assert tables.dependents(repository) == []


class Raced(TableIndex):
    """An index where something else happens just before the rows under repositories are written."""

    def __init__(self, service: TableServiceClient, meanwhile: Callable[[], object]) -> None:
        super().__init__(service)
        written, waiting = self._tables.written, [meanwhile]

        def raced(name: str, write: Any) -> Any:  # noqa: ANN401 - whatever the real one gives
            if name == DEPENDENTS and waiting:
                waiting.pop()()
            return written(name, write)

        self._tables.written = raced  # type: ignore[method-assign] # the seam of this test


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_a_refresh_in_between_counts(
    azurite: Azurite,
    tables: TableIndex,
    apps: RegistryId,
    repository: str,
    other: str,
    *,
    many: bool,
    known: bool,
) -> None:
    """Whoever is overtaken sets every row by what the other has written."""
    if known:
        tables.replace(view(apps, repository), NOON - timedelta(minutes=1))
    newer = view(apps, other, tag="newer")
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        raced = Raced(service, lambda: tables.replace(newer, LATER))
        older = view(apps, repository, other, tag="older")
        if many:
            raced.replace_many([IndexedTask(older, NOON)])
        else:
            raced.replace(older, NOON)

    assert tables.view(newer.task) == IndexedTask(newer, LATER)
    assert tables.dependents(repository) == []
    assert tables.dependents(other) == [IndexedTask(newer, LATER)]


def test_a_task_that_is_forgotten_in_between_leaves_no_row(
    azurite: Azurite, tables: TableIndex, apps: RegistryId, repository: str
) -> None:
    """A writer that was asleep for hours finds nothing of the task, and takes its rows back."""

    def forget() -> None:
        tables.remove(view(apps).task, LATER)
        tables.mark_refreshed(apps, LATER + timedelta(hours=2))

    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        Raced(service, forget).replace(view(apps, repository), NOON)

    assert tables.dependents(repository) == []
    assert tables.view(view(apps).task) is None


def test_large_views_are_stored_in_requests_that_are_taken(
    index: DependencyIndex, apps: RegistryId, repository: str
) -> None:
    """A hundred views of the largest size are more than one transaction may hold."""
    where = "Dockerfile, line 7: " + "é" * 3_600
    said = (Said(ImageReference.parse(f"{repository}:9"), Kind.RUNTIME, DIGEST, where),)
    views = [
        IndexedTask(join(TaskId(apps, f"t{n:03}"), [Evidence(Source.BUILD_FILE, said)]), NOON)
        for n in range(100)
    ]
    assert sum(len(view_to_text(one.view)) for one in views) > 4 * 2**20
    index.replace_many(views)

    assert names(index.dependents(repository)) == [f"t{n:03}" for n in range(100)]
    assert index.views(apps) == views


@pytest.mark.parametrize("many", [False, True])
def test_what_was_read_tomorrow_is_not_believed(
    index: DependencyIndex, apps: RegistryId, repository: str, other: str, *, many: bool
) -> None:
    """An instance whose clock was a day ahead must not keep the index as it was for a day."""
    ahead = NOON + timedelta(days=1)
    assert index.replace(view(apps, repository), ahead)
    index.mark_refreshed(apps, ahead)
    index.save_scan(IndexScan(apps, ahead, "x"))
    now = view(apps, other)
    if many:
        index.replace_many([IndexedTask(now, NOON)])
    else:
        assert index.replace(now, NOON)
    index.mark_refreshed(apps, NOON)

    assert index.view(now.task) == IndexedTask(now, NOON)
    assert names(index.dependents(other)) == ["build-app"]
    assert index.dependents(repository) == []
    assert index.refreshed(apps) == NOON
    assert index.scan(apps) is None
    assert not index.remove(now.task, NOON - timedelta(minutes=30))  # that is only late


def test_tables_that_refuse_are_no_conflict(
    tables: TableIndex, apps: RegistryId, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the service will not take is told, not taken for a view that is there already."""
    refusal = TableTransactionError(message="0:The request body is too large")
    refusal.status_code = 413

    def refuse(*_: object) -> None:
        raise refusal

    monkeypatch.setattr(tables._tables, "submit", refuse)
    with pytest.raises(Refused, match="413"):
        tables.replace_many([IndexedTask(view(apps, repository), NOON)])


def test_pages_of_a_registry_hold_each_task_once(
    index: DependencyIndex, apps: RegistryId, repository: str
) -> None:
    """Page by page, each task comes once; one that is gone, and others', never."""
    others = RegistryId(apps.subscription, "apps", "myapps2")
    for name in ("a", "b", "c", "d", "e"):
        index.replace(view(apps, repository, name=name), NOON)
    index.replace(view(others, repository, name="b"), NOON)
    index.remove(TaskId(apps, "c"), LATER)
    first = index.page(apps, "", 2)
    second = index.page(apps, first.after, 2)
    third = index.page(apps, second.after, 2) if second.after else None
    found = [*first.tasks, *second.tasks, *(third.tasks if third else ())]
    assert len(first.tasks) == len(second.tasks) == 2
    assert sorted(names(found)) == ["a", "b", "d", "e"]
    assert {indexed.view.task.registry for indexed in found} == {apps}
    assert third is None or third.after == ""
    assert index.page(apps, "", 10).after == ""
