"""Events of written tasks that come, or do not, and what is done where they do not."""

from __future__ import annotations

import logging
from copy import replace
from datetime import datetime, timedelta

import pytest
from msgspec import Struct

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.events.task_news import TaskNews, changed_since
from rebuilder.core.rebuilds.messages import REFRESH, Refresh
from rebuilder.errors import Conflict, Denied, RebuilderError, TransientError
from rebuilder.ports.bookmarks import Bookmarks
from rebuilder.ports.ledger import Retired
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.events.accept import accept_event, accept_task_events
from rebuilder.usecases.index.refresh_index import refresh_index, scan_registry
from rebuilder.usecases.index.task_news import events_seen
from tests.unit.fakes import APPS, OTHERS, Time, World, task
from tests.unit.test_task_events import DELETED, EVENT, changed

NOW = Time().now
HOUR = timedelta(hours=1)
MARK = f"task-news/{APPS}"


def ago(minutes: float) -> datetime:
    """Return a time before now."""
    return NOW - timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("news", "refreshed", "due"),
    [
        (TaskNews(), ago(60), True),
        (TaskNews(), ago(58), True),
        (TaskNews(), ago(57), False),
        (TaskNews(), ago(0), False),
        (TaskNews(asked=ago(60)), ago(300), True),
        (TaskNews(asked=ago(45)), ago(300), False),
        (TaskNews(asked=ago(300)), ago(45), False),
        # A clock that was wrong.
        (TaskNews(asked=ago(-1440)), ago(300), True),
        (TaskNews(), ago(-1440), True),
        (TaskNews(seen=ago(1)), ago(300), False),
        (TaskNews(seen=ago(60 * 24 * 400)), ago(300), False),
    ],
)
def test_when_a_list_is_looked_at(news: TaskNews, refreshed: datetime, *, due: bool) -> None:
    """An hour after the last look or reading of every task, until an event was seen."""
    assert news.look_due(refreshed, NOW) is due


@pytest.mark.parametrize("news", [TaskNews(), TaskNews(seen=NOW), TaskNews(asked=NOW)])
def test_what_is_remembered_comes_back(news: TaskNews) -> None:
    """It is the place of a bookmark."""
    assert TaskNews.read(news.write()) == news


@pytest.mark.parametrize("place", ["seen", "seen yesterday", "heard 2026-01-02", "é", " "])
def test_what_cannot_be_read_says_nothing(place: str) -> None:
    """A look too many is the worst that comes of it."""
    assert TaskNews.read(place) == TaskNews()


@pytest.mark.parametrize(
    ("minutes", "changes"), [(2, False), (1, False), (0.9, True), (0, True), (-5, True)]
)
def test_a_task_that_was_written_since(minutes: float, *, changes: bool) -> None:
    """Two clocks may differ: what was written just before it was read is read again."""
    assert changed_since(ago(minutes), NOW) is changes


class Counted(Struct):
    """Bookmarks that count what is asked of them, and fail where a test says so."""

    inner: Bookmarks
    read_: int = 0
    saved: int = 0
    failure: RebuilderError | None = None

    def read(self, name: str) -> Bookmark:
        """Read one."""
        self.read_ += name.startswith("task-news/")
        return self.inner.read(name)

    def save(self, bookmark: Bookmark) -> Bookmark:
        """Save one."""
        if bookmark.name.startswith("task-news/"):
            self.saved += 1
            if self.failure is not None:
                raise self.failure
        return self.inner.save(bookmark)

    def retire(self, now: datetime, place: str) -> Retired:
        """Forget some."""
        return self.inner.retire(now, place)

    def close(self) -> None:
        """Close the connections."""
        self.inner.close()


@pytest.fixture(name="counted")
def _counted(world: World) -> Counted:
    counted = Counted(world.context.bookmarks)
    world.context = replace(world.context, bookmarks=counted)
    return counted


def afresh(world: World) -> None:
    """Begin a new process."""
    world.context = replace(world.context, told_by_events=set())


def test_the_first_event_is_remembered_and_the_others_cost_nothing(
    world: World, counted: Counted
) -> None:
    """An instance reads once at most, and nobody writes twice."""
    assert not events_seen(world.context, APPS)
    for _ in range(3):
        accept_event(world.context, EVENT)
    assert (counted.read_, counted.saved) == (2, 1)
    afresh(world)
    accept_task_events(world.context, [EVENT, EVENT])
    accept_event(world.context, EVENT)

    assert (counted.read_, counted.saved) == (3, 1)
    assert events_seen(world.context, APPS)
    assert not events_seen(world.context, OTHERS)
    assert TaskNews.read(counted.inner.read(MARK).place).seen == world.time.now


def test_a_deletion_proves_nothing(world: World, counted: Counted) -> None:
    """Whether events tell of tasks that are written is the question; and others are ignored."""
    accept_event(world.context, changed("eventType", DELETED))
    accept_event(world.context, changed("eventType", "Microsoft.Resources.ResourceActionSuccess"))

    assert not events_seen(world.context, APPS)
    assert counted.saved == 0


@pytest.mark.parametrize("failure", [TransientError("no store"), Conflict("another")])
def test_an_event_is_taken_although_it_cannot_be_noted(
    world: World, counted: Counted, failure: RebuilderError
) -> None:
    """The next one is noted."""
    counted.failure = failure
    accept_event(world.context, EVENT)
    assert len(world.queue.take(REFRESH)) == 1
    assert not events_seen(world.context, APPS)
    counted.failure = None
    accept_event(world.context, EVENT)

    assert events_seen(world.context, APPS)


def looks(world: World) -> list[RegistryId]:
    """Return the registries whose lists were asked to be looked at."""
    asked = [Refresh.decode(body) for body, _ in world.queue.take(REFRESH)]
    assert all(message.changes and message.task is None for message in asked)
    return [message.registry for message in asked]


def swept(world: World, minutes: float) -> list[RegistryId]:
    """Sweep after a while, as the timer does."""
    world.time.pass_(minutes * 60)
    sweep(world.context, "me")
    return looks(world)


def test_the_sweep_asks_every_hour_where_no_event_was_seen(world: World, counted: Counted) -> None:
    """Each registry by itself; one whose events come costs the sweep nothing any more."""
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    accept_event(world.context, EVENT)
    world.queue.take(REFRESH)
    counted.read_ = 0
    assert [swept(world, 15) for _ in range(3)] == [[]] * 3
    assert counted.read_ == 0
    assert [swept(world, 15) for _ in range(9)] == [
        [OTHERS],
        [],
        [],
        [],
        [OTHERS],
        [],
        [],
        [],
        [OTHERS],
    ]
    # The mark of the one, nine times; nothing of the other.
    assert counted.read_ == 9
    afresh(world)
    assert [swept(world, 60) for _ in range(2)] == [[OTHERS]] * 2
    accept_event(world.context, changed("data.resourceUri", str(TaskId(OTHERS, "other"))))
    world.queue.take(REFRESH)

    assert [swept(world, 60) for _ in range(3)] == [[]] * 3


def test_a_look_is_asked_for_although_an_event_comes_at_once(
    world: World, counted: Counted
) -> None:
    """Whoever changed the mark meanwhile knows better, and the sweep goes on."""
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    counted.failure = Conflict("an event")

    assert swept(world, 60) == [APPS, OTHERS]


@pytest.fixture(name="indexed")
def _indexed(world: World) -> World:
    """A world whose tasks were read an hour ago, and written long before."""
    names = ("edited", "gone", "kept", "lately")
    world.tasks.add(*map(task, names))
    world.tasks.written = {TaskId(APPS, name): world.time.now - 9 * HOUR for name in names}
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    world.time.pass_(3600)
    world.tasks.read.clear()
    world.tasks.paged.clear()
    return world


def look(world: World) -> list[str]:
    """Look at the list; return the tasks that are to be read, or that all of them are."""
    refresh_index(world.context, Refresh(APPS, None, world.time.now, changes=True))
    asked = [Refresh.decode(body) for body, _ in world.queue.take(REFRESH)]
    assert not any(message.changes for message in asked)
    assert all(message.looks == 0 for message in asked if message.task)
    return sorted("all" if message.task is None else message.task.name for message in asked)


@pytest.mark.parametrize("brief", [False, True])
def test_a_look_reads_what_has_changed(indexed: World, *, brief: bool) -> None:
    """New, edited and deleted tasks; the others cost no request, however the list tells of them."""
    world = indexed
    world.tasks.list_is_brief, world.tasks.page_size = brief, 2
    assert look(world) == []
    assert (world.tasks.read, world.tasks.paged) == ([], [APPS] * 2)
    world.tasks.add(task("new"), task("new-untold"))
    world.tasks.written[TaskId(APPS, "new")] = world.time.now
    world.tasks.written[TaskId(APPS, "edited")] = world.time.now - timedelta(minutes=7)
    world.tasks.written[TaskId(APPS, "lately")] = world.time.now - HOUR - timedelta(seconds=9)
    del world.tasks.known[TaskId(APPS, "gone")]

    assert look(world) == ["edited", "gone", "lately", "new", "new-untold"]
    assert world.tasks.read == []


def test_what_a_look_found_is_read_once(indexed: World) -> None:
    """When it was read, the next look finds nothing."""
    world = indexed
    world.tasks.written[TaskId(APPS, "edited")] = world.time.now - timedelta(minutes=7)
    del world.tasks.known[TaskId(APPS, "gone")]
    for name in look(world):
        refresh_index(world.context, Refresh.of(TaskId(APPS, name), world.time.now))
    world.time.pass_(3600)

    assert look(world) == []
    assert [found.view.task.name for found in world.index.views(APPS)] == [
        *("edited", "kept", "lately"),
    ]


def test_a_list_that_does_not_tell_has_every_task_read(indexed: World) -> None:
    """Unknown is not unchanged."""
    del indexed.tasks.written[TaskId(APPS, "kept")]

    assert look(indexed) == ["all"]


def test_a_look_that_is_overtaken_is_none(indexed: World, caplog: pytest.LogCaptureFixture) -> None:
    """By an event, or by a later one: looks do not gather while ARM is out of order."""
    caplog.set_level(logging.INFO)
    world, asked = indexed, Refresh(APPS, None, indexed.time.now, changes=True)
    world.tasks.failures["tasks of myapps"] = [TransientError("not now")]
    with pytest.raises(TransientError):
        refresh_index(world.context, asked)
    assert swept(world, 1) == [APPS, OTHERS]
    refresh_index(world.context, asked)
    accept_event(world.context, EVENT)
    refresh_index(world.context, replace(asked, asked_at=world.time.now))

    assert world.tasks.paged == []
    assert caplog.text.count("need not be looked at for this any more") == 2


def test_a_registry_that_may_not_be_listed_is_told(
    indexed: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Its index stays as it is."""
    indexed.tasks.failures["tasks of myapps"] = [Denied("no role")]

    assert look(indexed) == []
    assert "no role" in caplog.text
    assert len(indexed.index.views(APPS)) == 4
