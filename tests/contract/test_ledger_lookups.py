"""How a Ledger finds things without reading what else it holds; on SQLite and on Azure's tables."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.core.pipeline import PipelineResponse
from azure.data.tables import TableServiceClient

from rebuilder.azure.storage.tables import _deliveries
from rebuilder.azure.storage.tables._events import UNSETTLED
from rebuilder.azure.storage.tables._rows import newest_rows
from rebuilder.azure.storage.tables._tables import Tables
from rebuilder.azure.storage.tables.ledger import TableLedger
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.decisions.unreadable import IndexOld
from rebuilder.core.events.pushes import Ignored, NoTag, OtherEvent, Push
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import TransientError
from rebuilder.ports.ledger import Ledger
from rebuilder.sqlite.ledger import SqliteLedger
from tests.azurite import Azurite

NOW = datetime(2026, 3, 4, 23, 59, 59, tzinfo=UTC)
A, B = (f"sha256:{letter * 64}" for letter in "ab")


def at(seconds: float) -> datetime:
    """Return a time so long after the beginning; a day ends after a second."""
    return NOW + timedelta(seconds=seconds)


@pytest.fixture(name="ledger")
def _ledger(place: Path | TableServiceClient) -> Ledger:
    return SqliteLedger(place) if isinstance(place, Path) else TableLedger(place)


@pytest.fixture(name="tables")
def _tables(azurite: Azurite) -> Iterator[TableServiceClient]:
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        yield service


@pytest.fixture(name="registry")
def _registry() -> RegistryId:
    # Its own for every test: Azurite is shared.
    return RegistryId(uuid.uuid4().hex, "base", "mybase")


@pytest.fixture(name="push")
def _push(registry: RegistryId) -> Push:
    return Push(registry, "images/node", "9", A, NOW, "event-1")


@pytest.fixture(name="task")
def _task(registry: RegistryId) -> TaskId:
    return TaskId(registry, "build-app")


def rebuild(task: TaskId, sequence: int = 1, state: State = State.CLAIMED) -> Rebuild:
    """Return a rebuild."""
    bases = (f"mybase.azurecr.io/images/node:9@{A}",)
    return Rebuild(task, sequence, "k" * 64, bases, "push", state, NOW, "me", at(90))


def test_the_pushes_of_a_tag_come_by_their_last_delivery(ledger: Ledger, push: Push) -> None:
    """A tag that goes back to an image has named that one last."""
    newer, other = replace(push, digest=B), replace(push, tag="10")
    for seconds, delivered in enumerate((push, newer, other)):
        ledger.record_events([delivered], at(seconds))

    def found() -> list[str]:
        records = ledger.pushes(push.registry, push.repository, "9")
        return [record.push.digest for record in records]

    assert found() == [B, A]
    ledger.record_events([push], at(10))
    assert found() == [A, B]
    (last,) = ledger.pushes(push.registry, push.repository, "9", limit=1)
    assert (last.push, last.first_at, last.last_at, last.deliveries) == (push, at(0), at(10), 2)
    assert ledger.pushes(push.registry, push.repository, "11") == []
    assert ledger.pushes(push.registry, "images/other", "9") == []


def test_a_delivery_more_is_no_push_more(ledger: Ledger, push: Push) -> None:
    """An event tells when it was pushed; without a time that can be, it was when the event came."""
    timed = replace(push, pushed_at=at(1))

    def last(told: Push, seconds: int) -> datetime | None:
        ledger.record_events([told], at(seconds))
        found = ledger.push(push.key)
        (listed,) = ledger.pushes(push.registry, push.repository, push.tag)
        assert found == listed
        return listed.pushed_last

    assert last(timed, 2) == at(1)
    assert last(timed, 60) == at(1)
    assert last(replace(push, pushed_at=at(50)), 61) == at(50)
    assert last(timed, 62) == at(50)
    assert last(replace(push, pushed_at=None), 70) == at(70)
    assert last(replace(push, pushed_at=at(900)), 80) == at(80)


def test_the_pushes_of_a_digest(ledger: Ledger, push: Push) -> None:
    """Whatever tag names it; the one that was delivered last comes first."""
    for seconds, tag in enumerate(("9", "10", "latest")):
        ledger.record_events([replace(push, tag=tag)], at(seconds))
    ledger.record_events([replace(push, digest=B)], at(5))

    def found(limit: int) -> list[str]:
        records = ledger.pushes_of(push.registry, push.repository, A, limit)
        return [record.push.tag for record in records]

    assert found(20) == ["latest", "10", "9"]
    assert found(2) == ["latest", "10"]
    assert ledger.pushes_of(push.registry, push.repository, "sha256:" + "c" * 64) == []


def test_events_are_recorded_together(ledger: Ledger, push: Push) -> None:
    """More than a transaction holds, some twice, some known, pushes among others: all counted."""
    ledger.record_events([replace(push, tag="t7")], at(0))
    source = str(push.registry)
    pushes = [replace(push, tag=f"t{number}") for number in range(70)]
    others: list[Ignored] = [
        NoTag("e", source, f"images/node@{A}", A),
        NoTag("f", source, f"images/node@{A}", A),
        OtherEvent("e", source, "images/node:9", "Something"),
    ]
    ledger.record_events([*pushes, *others, pushes[3]], at(2))

    assert ledger.record_events([], at(2)) is None  # type: ignore[func-returns-value]
    counts: Counter[int] = Counter()
    for one in pushes:
        record = ledger.push(one.key)
        assert record is not None
        counts[record.deliveries] += 1
        assert ledger.pushes(push.registry, push.repository, one.tag) == [record]
    assert counts == {1: 68, 2: 2}
    again = ledger.push(pushes[7].key)
    assert again is not None
    assert (again.first_at, again.last_at) == (at(0), at(2))
    found = ledger.ignored(source, "images/node")
    assert sorted((record.code, record.deliveries) for record in found) == [
        ("no-tag", 2),
        ("other-event", 1),
    ]


def test_concurrent_deliveries_leave_one_place(ledger: Ledger, push: Push) -> None:
    """However many come at once, at whatever time, a push stands once under its tag."""
    times = [at(seconds) for seconds in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda time: ledger.record_events([push], time), times))

    (record,) = ledger.pushes(push.registry, push.repository, push.tag)
    assert record == ledger.push(push.key)
    assert (record.first_at, record.deliveries) == (at(0), 12)


def test_a_first_delivery_is_not_later_than_the_next(ledger: Ledger, push: Push) -> None:
    """An instance whose clock was a day ahead told of it first: that is put right."""
    ledger.record_events([push], at(86_400))
    ledger.record_events([push], at(0))

    record = ledger.push(push.key)
    assert record is not None
    assert (record.first_at, record.last_at, record.deliveries) == (at(0), at(0), 2)
    told = ledger.pushes_between(at(-5), at(5))
    assert [told.at for told in told if told.push == push] == [at(0)]


def test_the_pushes_of_days(ledger: Ledger, push: Push) -> None:
    """Those of the days that a time span touches, whole or not, without gaps."""
    for hours in (0, 1, 12, 24, 25, 48, 72):
        ledger.record_events([replace(push, tag=f"{hours}")], NOW + timedelta(hours=hours))

    def told(begin: float, end: float) -> list[str]:
        span = (NOW + timedelta(hours=begin), NOW + timedelta(hours=end))
        found = ledger.pushes_between(*span)
        return [told.push.tag for told in found if told.push.registry == push.registry]

    assert told(0, 72) == ["0", "1", "12", "24", "25", "48"]
    assert told(0, 24) == ["0", "1", "12"]
    assert told(12, 24.5) == ["12", "24"]
    assert told(-1, 0.5) == ["0"]
    assert told(73, 80) == []


def test_what_is_not_planned_is_known(ledger: Ledger, push: Push) -> None:
    """From each delivery until somebody has planned it; the oldest comes first."""

    def unplanned() -> list[Push]:
        return [r.push for r in ledger.unplanned() if r.push.registry == push.registry]

    other = replace(push, tag="10")
    for seconds, delivered in enumerate((other, push)):
        ledger.record_events([delivered], at(seconds))
    assert unplanned() == [other, push]
    ledger.planned(other)
    ledger.planned(other)
    assert unplanned() == [push]
    ledger.record_events([other], at(3))
    assert unplanned() == [other, push]
    for one in (push, other):
        ledger.planned(one)
    assert unplanned() == []
    ledger.planned(replace(push, tag="never pushed"))


def test_the_last_ignored_events_of_a_repository(ledger: Ledger, registry: RegistryId) -> None:
    """Newest first, and not those of others."""
    source = str(registry)
    for seconds in range(5):
        digest = f"sha256:{seconds:064}"
        ledger.record_events([NoTag("e", source, f"images/node@{digest}", digest)], at(seconds))
    ledger.record_events([NoTag("e", source, "images/other", A)], at(9))

    found = ledger.ignored(source, "images/node", limit=3)
    assert [record.last_at for record in found] == [at(4), at(3), at(2)]


def test_the_decisions_about_a_task(ledger: Ledger, push: Push, task: TaskId) -> None:
    """Without those about others, and without those about a registry."""
    moved = BaseMoved(task, "i:1", "runtime", A, B, "registry")
    others = [
        TaskDisabled(TaskId(task.registry, "other")),
        IndexOld(str(task.registry), NOW, 24),
    ]
    ledger.record_decisions(push, [others[0], moved, others[1]], at(0))
    ledger.record_decisions(push, [TaskDisabled(task)], at(5))

    found = ledger.decisions(push, task)
    assert [record.decision for record in found] == [moved, TaskDisabled(task)]
    assert [record.first_at for record in found] == [at(0), at(5)]
    assert len(ledger.decisions(push)) == 4


def test_many_decisions_again(ledger: Ledger, push: Push, registry: RegistryId) -> None:
    """Of a plan that is repeated, each is kept once; what is new stands beside."""
    some = [TaskDisabled(TaskId(registry, f"task-{number}")) for number in range(120)]
    ledger.record_decisions(push, some, at(0))
    new = TaskDisabled(TaskId(registry, "one-more"))
    ledger.record_decisions(push, [*some, new], at(9))

    found = ledger.decisions(push)
    assert [record.decision for record in found] == [*some, new]
    assert {(record.first_at, record.last_at) for record in found[:-1]} == {(at(0), at(9))}
    assert (found[-1].first_at, found[-1].last_at) == (at(9), at(9))


def test_a_decision_by_many_at_once(ledger: Ledger, push: Push, task: TaskId) -> None:
    """It is kept once."""
    with ThreadPoolExecutor(6) as pool:
        list(
            pool.map(
                lambda n: ledger.record_decisions(push, [TaskDisabled(task)], at(n)), range(12)
            )
        )

    (record,) = ledger.decisions(push)
    assert record.decision == TaskDisabled(task)


def test_the_newest_rebuilds_and_those_before(ledger: Ledger, task: TaskId) -> None:
    """As many as are asked for, from wherever one goes on."""
    for sequence in range(1, 8):
        ledger.claim(rebuild(task, sequence))

    def found(limit: int, before: int | None = None) -> list[int]:
        return [rebuild.sequence for rebuild in ledger.rebuilds(task, limit, before)]

    assert found(3) == [7, 6, 5]
    assert found(3, 5) == [4, 3, 2]
    assert found(3, 2) == [1]
    assert found(3, 1) == []


def test_the_newest_success(ledger: Ledger, task: TaskId) -> None:
    """Whatever came to nothing since."""
    assert ledger.newest_success(task) is None
    states = (State.FAILED, State.SUCCEEDED, State.SUCCEEDED, State.GIVEN_UP, State.SKIPPED)
    for sequence, state in enumerate(states, 1):
        ledger.claim(rebuild(task, sequence))
        ledger.save(rebuild(task, sequence, state))

    found = ledger.newest_success(task)
    assert found is not None
    assert (found.sequence, found.state) == (3, State.SUCCEEDED)


def test_what_a_task_led_to_is_found_while_it_is_unsettled(ledger: Ledger, task: TaskId) -> None:
    """By each task of its chain; by nobody once it is settled."""
    first, second = (TaskId(task.registry, name) for name in ("first", "second"))
    made = replace(rebuild(task), chain=(str(first), str(second)))
    ledger.claim(made)
    ledger.claim(rebuild(second))
    going = ledger.save(replace(made, state=State.RUNNING, run_id="ca1"))

    for member in (first, second):
        assert ledger.unsettled_after(member) == [going]
    assert ledger.unsettled_after(task) == []
    ledger.save(replace(going, state=State.SUCCEEDED))
    for member in (first, second):
        assert ledger.unsettled_after(member) == []


def notes(tables: TableServiceClient, task: TaskId) -> int:
    """Return how many notes there are about a task."""
    found = tables.get_table_client(UNSETTLED).query_entities(
        "task eq @task", parameters={"task": str(task)}
    )
    return len(list(found))


def test_what_was_left_behind_goes_with_a_sweep(
    tables: TableServiceClient, task: TaskId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process died before it removed its notes: a question leaves them, a sweep does not."""
    ledger = TableLedger(tables)
    made = replace(rebuild(task), chain=(str(TaskId(task.registry, "first")),))
    ledger.claim(made)
    with monkeypatch.context() as dying:
        dying.setattr(ledger, "_settle", lambda _rebuild: None)
        ledger.save(replace(made, state=State.SUCCEEDED))
    assert notes(tables, task) == 2

    def listed(*, tidy: bool) -> list[Rebuild]:
        return [found for found in ledger.unsettled(tidy=tidy) if found.task == task]

    assert listed(tidy=False) == []
    assert notes(tables, task) == 2
    assert listed(tidy=True) == []
    assert notes(tables, task) == 0


def test_a_claim_that_is_being_made_keeps_its_note(
    tables: TableServiceClient, task: TaskId
) -> None:
    """The note comes first: there is nothing to tidy up about it."""
    ledger = TableLedger(tables)
    ledger._note(None, rebuild(task))
    ledger.unsettled(tidy=True)

    assert notes(tables, task) == 1


def test_a_push_without_its_rows_beside_is_made_whole(
    tables: TableServiceClient, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process that died has not written, the next delivery of the event writes."""
    ledger = TableLedger(tables)

    def die(*_: object) -> None:
        raise TransientError("killed")

    with monkeypatch.context() as dying:
        dying.setattr(_deliveries, "day_row", die)
        with pytest.raises(TransientError):
            ledger.record_events([push], at(0))
    assert [r.push for r in ledger.unplanned() if r.push.registry == push.registry] == [push]
    ledger.record_events([push], at(5))

    assert [t.at for t in ledger.pushes_between(at(0), at(1)) if t.push == push] == [at(0)]


def test_a_push_that_is_not_recorded_yet_is_not_lost(
    tables: TableServiceClient, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its note comes first, and tells nothing until the push is there."""
    ledger = TableLedger(tables)

    def die(*_: object) -> None:
        raise TransientError("killed")

    with monkeypatch.context() as dying:
        dying.setattr(_deliveries, "count", die)
        with pytest.raises(TransientError):
            ledger.record_events([push], at(0))
    assert [r for r in ledger.unplanned() if r.push.registry == push.registry] == []


def test_questions_write_nothing(azurite: Azurite, push: Push, task: TaskId) -> None:
    """Not a single request of theirs changes anything, not in an account that is empty either."""
    methods: Counter[str] = Counter()

    def count(response: PipelineResponse[object, object]) -> None:
        methods[response.http_request.method] += 1  # type: ignore[attr-defined] # of any kind

    with TableServiceClient.from_connection_string(
        azurite.connection_string, raw_response_hook=count
    ) as service:
        ledger = TableLedger(service)
        ledger.push(push.key)
        ledger.pushes(push.registry, push.repository, "9")
        ledger.pushes_of(push.registry, push.repository, A)
        ledger.pushes_between(at(0), at(90_000))
        ledger.ignored(str(push.registry), "images/node")
        ledger.decisions(push)
        ledger.decisions(push, task)
        ledger.unplanned()
        ledger.head(task)
        ledger.heads([task])
        ledger.rebuild(task, 1)
        ledger.rebuilds(task)
        ledger.newest_success(task)
        ledger.unsettled()
        ledger.unsettled_after(task)
        ledger.producer("a:1")

    assert set(methods) == {"GET"}


def test_many_events_take_few_requests(azurite: Azurite, push: Push) -> None:
    """A delivery of hundreds is written in transactions."""
    requests: list[str] = []

    def count(response: PipelineResponse[object, object]) -> None:
        requests.append(response.http_request.url)  # type: ignore[attr-defined] # of any kind

    pushes = [replace(push, tag=f"t{number}") for number in range(300)]
    with TableServiceClient.from_connection_string(
        azurite.connection_string, raw_response_hook=count
    ) as service:
        ledger = TableLedger(service)
        ledger.record_events([replace(push, tag="before")], at(0))  # makes the tables
        requests.clear()
        ledger.record_events(pushes, at(0))
        assert len(requests) <= 3 + 10 + 3  # what is unplanned, pushes by 33, days
        assert len([r for r in ledger.unplanned() if r.push.registry == push.registry]) == 301


def test_a_change_of_what_goes_on_writes_no_note(
    azurite: Azurite, push: Push, task: TaskId
) -> None:
    """What is unsettled is noted when it begins and when it ends, and not in between."""
    requests: list[str] = []

    def count(response: PipelineResponse[object, object]) -> None:
        requests.append(response.http_request.url)  # type: ignore[attr-defined] # of any kind

    with TableServiceClient.from_connection_string(
        azurite.connection_string, raw_response_hook=count
    ) as service:
        ledger = TableLedger(service)
        claim = Rebuild(task, 1, "k", (), push.key, State.CLAIMED, NOW, "me", at(60))
        ledger.claim(claim)
        assert any(f"/{UNSETTLED}" in url for url in requests)
        requests.clear()
        running = ledger.save(replace(claim, state=State.RUNNING, run_id="ca1"))
        assert len(requests) == 2  # the record as it was, and as it is
        assert not any(f"/{UNSETTLED}" in url for url in requests)
        ledger.save(replace(running, state=State.SUCCEEDED, finished_at=at(60)))
        assert any(f"/{UNSETTLED}" in url for url in requests)


@pytest.fixture(name="pages")
def _pages(azurite: Azurite) -> Iterator[tuple[Callable[..., list[str]], list[str]]]:
    """A table with three rows in each of 40 partitions; and what is asked of it."""
    asked: list[str] = []

    def note(response: PipelineResponse[object, object]) -> None:
        asked.append(response.http_request.url)  # type: ignore[attr-defined] # of any kind

    name = f"t{uuid.uuid4().hex}"
    with TableServiceClient.from_connection_string(
        azurite.connection_string, raw_response_hook=note
    ) as service:
        tables = Tables(service, (name,))
        for number in range(40):
            rows = [{"PartitionKey": f"p{number:02}", "RowKey": f"r{row}"} for row in range(3)]
            tables.submit(name, [("create", row, {}) for row in rows])
        asked.clear()

        def first(numbers: Iterable[int], **sizes: int) -> list[str]:
            found = newest_rows(tables, name, [f"p{number:02}" for number in numbers], **sizes)
            return sorted(f"{row['PartitionKey']} {row['RowKey']}" for row in found)

        yield first, asked


def test_the_first_rows_of_many_partitions_are_read_together(
    pages: tuple[Callable[..., list[str]], list[str]],
) -> None:
    """Page by page, whatever rows stand between; a partition without rows is left out."""
    first, asked = pages
    every = [f"p{number:02} r0" for number in range(40)]
    assert first(range(50), span=10, page=7, worth=1) == every
    assert len(asked) == 4 * 5 + 1  # thirty rows in each span, and an empty one
    asked.clear()
    assert first(range(0, 40, 2), span=20, page=1000, worth=20) == every[::2]
    assert len(asked) == 1


def test_what_pages_do_not_tell_is_asked_for_by_itself(
    pages: tuple[Callable[..., list[str]], list[str]],
) -> None:
    """Of few partitions among many, and where rows that nobody asked for fill the pages."""
    first, asked = pages
    assert first([3, 30], span=10) == ["p03 r0", "p30 r0"]
    assert len(asked) == 2
    asked.clear()
    assert first([0, 1, 20, 30, 39, 44], span=3, page=7, worth=2) == [
        f"p{number:02} r0" for number in (0, 1, 20, 30, 39)
    ]
    # The first page tells of two, the second of none; the first of the others of one.
    assert len(asked) == 2 + 1 + 1 + 2


def test_of_a_table_that_was_never_made_nothing_is_found(tables: TableServiceClient) -> None:
    """However many are asked for."""
    name = f"t{uuid.uuid4().hex}"
    assert newest_rows(Tables(tables, (name,)), name, ["a", "b", "c"], span=2) == []
