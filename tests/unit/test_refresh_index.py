from __future__ import annotations

from copy import replace
from datetime import timedelta

import pytest

from rebuilder import isolation
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Kind, Task
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, TaskView, join, recorded
from rebuilder.core.dependencies.index import (
    IndexScan,
    from_record,
    repositories,
    to_record,
    with_view,
)
from rebuilder.core.rebuilds.messages import REFRESH, Refresh
from rebuilder.errors import Denied, Refused, Throttled, TransientError
from rebuilder.isolation import AT_ONCE, attempts
from rebuilder.ports.acr import TaskPage
from rebuilder.usecases.context import Context
from rebuilder.usecases.index import refresh_index as usecase
from rebuilder.usecases.index.refresh_index import refresh_index, scan_all, scan_registry
from rebuilder.usecases.leases import SLICE
from tests.unit.fakes import APPS, BASE, NEW, NODE, OLD, OTHERS, World, dependency, task

REPOSITORY = "mybase.azurecr.io/images/node"
GO = "mybase.azurecr.io/images/go"


def dependents(world: World, repository: str = REPOSITORY) -> list[str]:
    """Return who is built on a repository, as the index says."""
    return [indexed.view.task.name for indexed in world.index.dependents(repository)]


def refresh(world: World, given: Task | None = None) -> None:
    """Refresh one task, or every task of the registry."""
    now = world.time.now
    refresh_index(world.context, Refresh.of(given.id, now) if given else Refresh(APPS, None, now))


def test_one_task_is_read_again(world: World) -> None:
    """The index follows what ARM tells of a task; a task that is gone leaves it."""
    world.tasks.add(task())
    refresh(world, task())
    assert dependents(world) == ["build-app"]
    world.time.pass_(1)
    world.tasks.add(task("build-app", dependency(f"{GO}:1")))
    refresh(world, task())
    assert (dependents(world), dependents(world, GO)) == ([], ["build-app"])
    world.time.pass_(1)
    world.tasks.known.clear()
    refresh(world, task())

    assert dependents(world, GO) == []
    assert world.index.views(APPS) == []


@pytest.mark.parametrize("brief", [False, True])
def test_a_sweep_reads_every_task(world: World, *, brief: bool) -> None:
    """Page by page, whether the list tells dependencies or not; gone tasks leave at the end."""
    world.tasks.add(task("gone"))
    refresh(world, task("gone"))
    world.tasks.known.clear()
    world.time.pass_(60)
    world.tasks.add(*(task(f"task-{number}") for number in range(5)), task("theirs", registry=BASE))
    world.tasks.page_size, world.tasks.list_is_brief = 2, brief
    refresh(world)

    assert dependents(world) == [f"task-{number}" for number in range(5)]
    assert world.index.refreshed(APPS) == world.time.now
    assert world.index.scan(APPS) is None
    assert world.queue.sent == []


def test_a_task_that_the_list_left_out_by_mistake_stays(world: World) -> None:
    """A list that changes while it is read may miss a task: ARM is asked before it is forgotten."""
    world.tasks.add(task("there"), task("hidden"))
    refresh(world)
    world.time.pass_(60)
    listed = world.tasks.page(APPS)
    world.tasks.pages = [replace(listed, tasks=listed.tasks[1:])]
    refresh(world)

    assert dependents(world) == ["hidden", "there"]
    assert world.index.unseen(APPS, world.time.now) == []


def test_a_task_that_is_deleted_during_the_sweep_is_no_error(world: World) -> None:
    """A page may name a task that is gone by the time it is read."""
    world.tasks.add(task("there"))
    world.tasks.pages = [TaskPage((), (task("there").id, task("gone").id))]
    refresh(world)

    assert dependents(world) == ["there"]


def test_a_long_sweep_goes_on_in_another_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its share of time it puts the message back, and begins where it was."""
    monkeypatch.setattr(usecase, "SLICE", -SLICE)
    world.tasks.add(*(task(f"task-{number}") for number in range(5)))
    world.tasks.page_size = 2
    began = world.time.now
    refresh(world)
    known = [len(dependents(world))]
    while sent := world.queue.take(REFRESH):
        world.time.pass_(120)
        ((body, _),) = sent
        refresh_index(world.context, Refresh.decode(body))
        known.append(len(dependents(world)))

    assert known == [2, 4, 5]
    assert world.index.refreshed(APPS) == began


def test_an_interrupted_sweep_is_gone_on_with(world: World) -> None:
    """What was read before stays, and the next sweep begins at the page that failed."""
    world.tasks.add(*(task(f"task-{number}") for number in range(4)))
    world.tasks.page_size = 2
    first = world.tasks.page(APPS)
    world.index.save_scan(IndexScan(APPS, world.time.now, first.after or ""))
    world.tasks.failures["tasks of myapps"] = [TransientError("503")]
    with pytest.raises(TransientError):
        refresh(world)
    assert world.index.refreshed(APPS) is None
    refresh(world)

    # The first page was another's work, which its own store holds.
    assert dependents(world) == ["task-2", "task-3"]


def test_an_abandoned_sweep_is_begun_anew(world: World) -> None:
    """ARM may have forgotten the place, and what was read then is old."""
    world.tasks.add(task())
    world.index.save_scan(IndexScan(APPS, world.time.now, "zzz"))
    world.time.pass_(7 * 3600)
    refresh(world)

    assert dependents(world) == ["build-app"]
    assert world.index.refreshed(APPS) == world.time.now


def test_a_place_that_arm_forgot_is_begun_anew(world: World) -> None:
    """A continuation that ARM refuses does not stop the sweep for ever."""
    world.tasks.add(task())
    world.index.save_scan(IndexScan(APPS, world.time.now, "forgotten"))
    world.tasks.failures["tasks of myapps"] = [Refused("InvalidSkipToken", "no")]
    refresh(world)

    assert dependents(world) == ["build-app"]


def test_a_list_that_arm_refuses_is_an_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """What may not be read is logged; the index stays as old as it is."""
    world.tasks.failures["tasks of myapps"] = [Refused("No", "never"), Denied("tasks/read")]
    refresh(world)
    refresh(world)

    assert "never" in caplog.text
    assert "tasks/read" in caplog.text
    assert world.index.refreshed(APPS) is None


@pytest.mark.parametrize("error", [TransientError("503"), Refused("400", "no"), KeyError("x")])
def test_one_task_that_cannot_be_read_keeps_no_other_from_it(
    world: World, error: Exception
) -> None:
    """It keeps what is known of it, with why that may not be all, and is read again by itself."""
    world.tasks.add(task("one"), task("two"), task("three"))
    refresh(world)
    world.tasks.list_is_brief = True
    world.tasks.failures["task"] = [error]  # type: ignore[list-item] # what nobody foresaw
    world.time.pass_(60)
    world.queue.take(REFRESH)
    refresh(world)

    assert world.index.refreshed(APPS) == world.time.now
    assert len(dependents(world)) == 3
    told = {v.view.task.name: v.view.unread for v in world.index.views(APPS) if v.view.unread}
    assert [text.startswith("the task cannot be read: ") for text in told.values()] == [True]
    again = [Refresh.decode(body).task for body, _ in world.queue.take(REFRESH)]
    known = [found.name for found in again if found is not None]
    assert known == (list(told) if isinstance(error, TransientError) else [])


@pytest.mark.parametrize("many", [False, True])
def test_it_is_not_the_tasks_if_none_can_be_read(world: World, *, many: bool) -> None:
    """ARM asks to wait, or is out of order: the registry does not count as read."""
    world.tasks.add(task("one"), task("two"))
    world.tasks.list_is_brief = True
    failures = [TransientError("503")] * 2 if many else [Throttled("429")]
    world.tasks.failures["task"] = [*failures]
    with pytest.raises(TransientError):
        refresh(world)

    assert world.index.refreshed(APPS) is None


def test_a_sweep_that_was_made_meanwhile_is_not_repeated(world: World) -> None:
    """Many who ask for the same sweep get one."""
    asked = Refresh(APPS, None, world.time.now)
    world.tasks.add(task())
    refresh(world)
    world.tasks.failures["tasks of myapps"] = [Denied("must not be listed")]
    refresh_index(world.context, asked)

    assert world.tasks.failures["tasks of myapps"]


@pytest.mark.parametrize("given", [None, task(registry=BASE).id])
def test_registries_that_are_configured_no_more_are_not_read(
    world: World, given: TaskId | None
) -> None:
    """A message may be older than the settings."""
    world.tasks.failures["tasks of mybase"] = [Denied("must not be listed")]
    refresh_index(world.context, Refresh(BASE, given, world.time.now))

    assert world.tasks.read == []
    assert world.tasks.failures["tasks of mybase"]


def test_the_timer_asks_for_every_registry(world: World) -> None:
    """One message each, so that one registry does not wait for another."""
    scan_all(world.context)

    asked = [Refresh.decode(body) for body, _ in world.queue.take(REFRESH)]
    assert asked == [Refresh(registry, None, world.time.now) for registry in (APPS, OTHERS)]


@pytest.fixture(name="offline")
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some source of knowledge does not answer."""

    def gather(context: Context, task: Task) -> TaskView:
        del context
        raise TransientError(f"{task.id}: the git host does not answer")

    monkeypatch.setattr(usecase, "gather", gather)


def copying(given: Task) -> TaskView:
    """Return a view whose build file names one image more than ACR's record."""
    said = Said(ImageReference.parse(f"{GO}:1"), Kind.BUILD_TIME, None, "Dockerfile, line 2")
    return join(given.id, [recorded(given), Evidence(Source.BUILD_FILE, (said,))])


@pytest.mark.parametrize("brief", [False, True])
def test_slow_sources_do_not_stop_a_page(
    world: World, monkeypatch: pytest.MonkeyPatch, *, brief: bool
) -> None:
    """A function has five minutes: what is not read by then is read by itself, and stays known."""
    monkeypatch.setattr(isolation, "AT_ONCE", 1)
    gathered: list[str] = []

    def gather(context: Context, task: Task) -> TaskView:
        del context
        gathered.append(task.id.name)
        world.time.pass_(60)
        return copying(task)

    monkeypatch.setattr(usecase, "gather", gather)
    world.tasks.add(*(task(f"task-{number}") for number in range(9)))
    world.tasks.list_is_brief = brief
    world.index.replace(copying(task("task-8")), world.time.now)
    began = world.time.now
    assert scan_registry(world.context, APPS)

    assert world.time.now - began <= SLICE + timedelta(seconds=60)
    read = len(gathered)
    assert 0 < read < 9
    later = [Refresh.decode(body).task for body, _ in world.queue.take(REFRESH)]
    assert later == [task(f"task-{number}").id for number in range(read, 9)]
    assert "task-8" in dependents(world, GO)
    assert len(dependents(world, GO)) == read + 1


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("known", [False, True])
def test_a_source_that_does_not_answer_loses_nothing(world: World, *, known: bool) -> None:
    """What was known from it before stays beside ACR's record of now; the sweep goes on."""
    if known:
        world.index.replace(copying(task()), world.time.now)
    world.time.pass_(60)
    world.tasks.add(task("build-app", dependency(built_on=NEW)), task("other"))
    assert scan_registry(world.context, APPS)

    assert dependents(world) == ["build-app", "other"]
    assert dependents(world, GO) == (["build-app"] if known else [])
    indexed = world.index.view(task().id)
    assert indexed is not None
    assert {d.built_on for d in indexed.view.dependencies if d.kind is Kind.RUNTIME} == {NEW}
    again = world.queue.take(REFRESH)
    assert [Refresh.decode(body).task for body, _ in again] == [task().id, task("other").id]
    assert {delay for _, delay in again} == {timedelta(minutes=5)}


def test_a_source_that_may_not_be_read_any_more_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expired token leaves what the build file said, and says that it is old, however often."""
    world.tasks.add(task())
    world.index.replace(copying(task()), world.time.now)

    def gather(context: Context, given: Task) -> TaskView:
        del context
        denied = Evidence(Source.BUILD_FILE, (), "401: see REBUILDER_SOURCE_CREDENTIALS")
        return join(given.id, [recorded(given), denied])

    monkeypatch.setattr(usecase, "gather", gather)
    for _ in range(2):
        world.time.pass_(60)
        refresh(world, task())

    assert dependents(world, GO) == ["build-app"]
    indexed = world.index.view(task().id)
    assert indexed is not None
    assert [e.problem for e in indexed.view.evidence] == [
        None,
        "as it was when it could last be read: 401: see REBUILDER_SOURCE_CREDENTIALS",
    ]


def test_what_a_source_never_said_is_only_a_problem(world: World) -> None:
    """A build file that could never be read leaves ACR's record alone."""
    world.tasks.add(task())
    refresh(world, task())
    refresh(world, task())

    indexed = world.index.view(task().id)
    assert indexed is not None
    assert dependents(world, GO) == []


@pytest.mark.usefixtures("offline")
def test_a_task_whose_source_does_not_answer_is_tried_again(world: World) -> None:
    """What is known is stored at once; the delivery fails and comes again."""
    world.tasks.add(task())
    with pytest.raises(TransientError):
        refresh(world, task())

    assert dependents(world) == ["build-app"]


def test_a_new_task_is_looked_at_until_acr_has_recorded_something(world: World) -> None:
    """Nobody tells when a run by hand has ended, so the looks come later and later, and end."""
    new = Task(task().id, True, True, None, ())  # noqa: FBT003 - status, step
    world.tasks.add(new)
    delays = []
    message: Refresh | None = Refresh.of(new.id, world.time.now, looks=0)
    while message is not None:
        refresh_index(world.context, message)
        sent = world.queue.take(REFRESH)
        delays += [int(delay.total_seconds()) for _, delay in sent]
        message = Refresh.decode(sent[0][0]) if sent else None

    assert delays == [15 * 2**number for number in range(8)]


@pytest.mark.parametrize(
    ("found", "looks"),
    [
        (task(), 0),
        (Task(task().id, True, False, None, ()), 0),  # noqa: FBT003 - status, step
        (Task(task().id, True, True, None, ()), None),  # noqa: FBT003 - status, step
        (None, 0),
    ],
)
def test_one_look_is_enough(world: World, found: Task | None, looks: int | None) -> None:
    """A task with a record, one without a step, a gone one, or one whose run was followed."""
    if found is not None:
        world.tasks.add(found)
    refresh_index(world.context, Refresh.of(task().id, world.time.now, looks))

    assert world.queue.sent == []


def test_a_view_is_json() -> None:
    """A view survives as a record, and names its repositories once."""
    view = replace(copying(task()), disagreements=("they differ",))

    assert from_record(to_record(view)) == view
    assert repositories(view) == {REPOSITORY, GO}


def test_the_record_of_now_is_joined_with_what_others_said() -> None:
    """An image that only the build file names is kept; the record's digests are those of now."""
    view = copying(task())
    now = task("build-app", dependency(built_on=NEW))
    joined = {str(d.reference): d.built_on for d in with_view(now, view).dependencies}

    assert joined == {NODE: NEW, f"{GO}:1": None}
    assert with_view(task(), view).dependencies == view.dependencies
    assert with_view(task(), None) == task()
    assert {d.built_on for d in with_view(task(), copying(now)).dependencies} == {OLD, None}


def test_many_things_are_attempted_in_order() -> None:
    """Results keep the order of what was given; the product's errors are results."""

    def half(number: int) -> int:
        if number % 2:
            raise Denied(str(number))
        return number // 2

    results = attempts(half, range(AT_ONCE * 3))
    assert results[::2] == list(range(AT_ONCE * 3 // 2))
    assert [str(error) for error in results[1::2]] == [str(n) for n in range(1, AT_ONCE * 3, 2)]
    assert attempts(half, []) == []


def test_what_is_indexed_knows_when_it_was_read(world: World) -> None:
    """The time is that at which reading began, so that a change meanwhile is not overlooked."""
    world.tasks.add(task())
    refresh(world)

    indexed = world.index.view(task().id)
    assert indexed is not None
    assert indexed.read_at == world.time.now
    assert recorded(task()) in indexed.view.evidence
