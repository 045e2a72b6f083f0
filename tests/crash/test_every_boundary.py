"""A process is killed before and after every effect of every function; nothing comes of it."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import azure.functions as func
import pytest

from rebuilder import composition, isolation
from rebuilder.core.lines.line import Line
from rebuilder.core.policies.acts import Target, What
from rebuilder.core.rebuilds.messages import ACTS, BUILDS, PUSHES, REFRESH, RUNS
from rebuilder.core.rebuilds.rebuild import State
from rebuilder.settings import Settings
from rebuilder.sqlite import _database
from rebuilder.sqlite.bookmarks import SqliteBookmarks
from rebuilder.sqlite.dead_letters import SqliteDeadLetters
from rebuilder.sqlite.index import SqliteIndex
from rebuilder.sqlite.ledger import SqliteLedger
from rebuilder.sqlite.queues import SqliteQueues
from rebuilder.sqlite.steering import FileSteering
from rebuilder.usecases import at_once
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.acts import ask
from rebuilder.usecases.steering.places import PLACES
from rebuilder.usecases.steering.votes import to_be_approved
from tests.crash._world import APPS, BASE, NEW, TASKS, Azure, DeadEventBlobs, Sources

QUEUES = {
    PUSHES: "plan_rebuilds",
    BUILDS: "start_build",
    RUNS: "track_build",
    REFRESH: "refresh_tasks",
    ACTS: "carry_out_act",
}
TIMERS = (
    *("refresh_index", "poll_bases", "sweep", "collect_dead_letters", "retire_history"),
    "sum_staleness",
)
FUNCTIONS = ("image_pushed", "task_changed", *QUEUES.values(), *TIMERS)
POLICY = """
version: 1
policies:
  default: {maxConcurrent: 1}
  agreed: {approval: {votes: 1}}
rules:
  - {match: {task: "*/two"}, policy: agreed}
"""
_HIDE = timedelta(minutes=10)
_KILLED = 137
_MOST = at_once.MOST  # as it is, whatever a story is played with


class Boundaries:
    """Counts the effects of a call, and ends the process at one of them."""

    def __init__(self) -> None:
        self.count = 0
        self.kill_at: int | None = None

    def pass_(self) -> None:
        """One more boundary is reached."""
        if self.count == self.kill_at:
            os._exit(_KILLED)  # as SIGKILL: no clean-up whatever
        self.count += 1


BOUNDARIES = Boundaries()


class _Connection(sqlite3.Connection):
    """Every transaction that is committed, and every change by itself, is two boundaries."""

    def commit(self) -> None:
        BOUNDARIES.pass_()
        super().commit()
        BOUNDARIES.pass_()

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:  # noqa: ANN401 - passed on
        alone = not self.in_transaction and sql.startswith(("INSERT", "UPDATE", "DELETE"))
        if alone:
            BOUNDARIES.pass_()
        cursor = super().execute(sql, *parameters)
        if alone:
            BOUNDARIES.pass_()
        return cursor


class _Watched:
    """Every request to Azure is two boundaries."""

    def __init__(self, port: object) -> None:
        self._port = port

    def __getattr__(self, name: str) -> object:
        method = getattr(self._port, name)

        def call(*args: object, **options: object) -> object:
            BOUNDARIES.pass_()
            answer = method(*args, **options)
            BOUNDARIES.pass_()
            return answer

        return call


def _count(patch: pytest.MonkeyPatch) -> None:
    """Count at the lowest level: commits of SQLite, requests to Azure, one at a time."""

    def connected(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, factory=_Connection
        )
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    patch.setattr(_database, "_connected", connected)
    patch.setattr(isolation, "AT_ONCE", 1)


def _function(name: str) -> Callable[[object], object]:
    module = importlib.import_module(f"functions.{name}")
    found: Callable[[object], object] = getattr(module, name)._function.get_user_function()
    return found


@dataclass
class Host:
    """Delivers at least once, from a folder that holds all there is."""

    folder: Path
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.azure = Azure(self.folder)
        self.file = self.folder / "store.db"
        self.queues = SqliteQueues(self.file, lambda: self.azure.now)

    def context(self) -> Context:
        """Return the ports of a fresh process."""
        settings = Settings(
            frozenset({BASE}),
            (APPS,),
            "sqlite:unused",
            dead_letters="https://account.blob.core.windows.net/dead",
        )
        azure = _Watched(self.azure)
        return Context(
            settings,
            SqliteLedger(self.file),
            SqliteQueues(self.file, lambda: self.azure.now),
            cast("Any", azure),
            cast("Any", azure),
            cast("Any", azure),
            cast("Any", _Watched(Sources(self.azure))),
            SqliteIndex(self.file),
            SqliteBookmarks(self.file),
            SqliteDeadLetters(self.file),
            cast("Any", azure),
            cast("Any", _Watched(DeadEventBlobs(self.folder))),
            lambda: self.azure.now,
            FileSteering(self.file),
        )

    def approve(self) -> bool:
        """Approve what waits for it, as a person who sees it; tell whether anything did."""
        context = self.context()
        if waiting := to_be_approved(context, [Target()]):
            ids = tuple(rebuild.id for rebuild in waiting)
            ask(context, What.APPROVE, Target(), who="ann", because="tested", of=ids)
        return bool(waiting)

    def call(self, name: str, argument: object) -> int:
        """Call a function in this process; return how many boundaries it has."""
        work = _function(name)
        context = self.context()
        BOUNDARIES.count = 0
        # Set for this call alone: the next test's functions compose their own.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(composition, "compose", lambda: context)
            outcome = work(argument)
            if asyncio.iscoroutine(outcome):
                asyncio.run(outcome)
        return BOUNDARIES.count

    def killed(self, name: str, argument: object, boundary: int) -> None:
        """Call a function in a child that is killed at a boundary."""
        child = os.fork()
        if child == 0:
            BOUNDARIES.kill_at = boundary
            try:
                self.call(name, argument)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == _KILLED

    def receive(self) -> tuple[str, Any] | None:
        """Receive a message, if one is to be seen."""
        for queue in QUEUES:
            for message in self.queues.receive(queue, 1, _HIDE):
                return queue, message
        return None

    def next_at(self) -> float | None:
        """Return when the next message is to be seen."""
        marks = ", ".join("?" * len(QUEUES))
        query = f"SELECT min(visible_at) FROM messages WHERE queue IN ({marks})"  # noqa: S608 - question marks
        with closing(sqlite3.connect(self.file)) as db:
            found: float | None = db.execute(query, tuple(QUEUES)).fetchone()[0]
        return found

    def until_quiet(self, meet: Callable[[str, object], int]) -> None:
        """Work every message off; `meet` calls the function."""
        for _ in range(400):
            received = self.receive()
            if received is not None:
                queue, message = received
                meet(QUEUES[queue], func.QueueMessage(id=message.id, body=message.body))
                self.queues.delete(queue, message.id, message.pop_receipt)
                continue
            if self.approve():
                continue
            due = self.next_at()
            if due is None:
                return
            wait = due - self.azure.now.timestamp()
            self.azure.now += timedelta(seconds=max(wait, 0) + 0.01)
        raise AssertionError("it never comes to rest")

    def timers(self) -> None:
        """Let every timer fire, and everything come to rest."""
        for name in TIMERS:
            self.call(name, SimpleNamespace(past_due=False))
            self.until_quiet(self.call)

    def check(self) -> None:
        """Exactly one run for each task, in its place and approved, and nothing left."""
        context = self.context()
        if context.steering.token():
            self._obeyed(context)
        for task in TASKS:
            assert self.azure.scheduled(task) == 1, task.name
            head = context.ledger.head(task)
            assert head is not None
            assert head.state is State.SUCCEEDED, task.name
        assert context.ledger.unsettled() == []
        letters = {(letter.origin.value, letter.reason) for letter in context.dead_letters.all()}
        assert len(letters) == 2, letters  # the poison message and the dead event

    def _obeyed(self, context: Context) -> None:
        """Never more than one run at once, none before its approval, and no place left over."""
        assert self.azure.most_at_once() == 1
        two = next(task for task in TASKS if task.name == "two")
        approved = context.ledger.head(two)
        assert approved is not None
        assert approved.held is not None
        assert min(vote.at for vote in approved.held.votes) <= self.azure.began(two)
        assert not Line.read(context.bookmarks.read(PLACES).place).holders


def _events() -> list[tuple[str, object]]:
    pushed: dict[str, object] = {
        "timestamp": "2026-03-01T00:00:00Z",
        "action": "push",
        "target": {"repository": "images/node", "tag": "9", "digest": NEW},
    }
    task = str(next(iter(TASKS)))
    told: dict[str, object] = {"resourceUri": task, "operationName": "write"}
    kind = "Microsoft.ContainerRegistry.ImagePushed"
    return [
        ("image_pushed", _event(str(BASE), "images/node:9", kind, pushed)),
        (
            "task_changed",
            _event("/subscriptions/s1", task, "Microsoft.Resources.ResourceWriteSuccess", told),
        ),
    ]


def _event(topic: str, subject: str, kind: str, data: dict[str, object]) -> func.EventGridEvent:
    return func.EventGridEvent(
        id="e1",
        data=data,
        topic=topic,
        subject=subject,
        event_type=kind,
        event_time=None,
        data_version="1",
    )


def _prepare(folder: Path, policy: str) -> Host:
    host = Host(folder)
    if policy:
        host.context().steering.apply(policy, who="", at=host.azure.now, because="", before="")
    host.queues.send(f"{BUILDS}-poison", '{"schema":1,"old":true}')
    dead = {"id": "e9", "topic": str(BASE), "subject": "s", "eventType": "x", "data": {}}
    (folder / "1.blob").write_text(
        json.dumps([{**dead, "deadLetterReason": "MaxDeliveryAttempts"}])
    )
    return host


@dataclass
class Point:
    """A call of a function in the undisturbed story, and all there was before it."""

    name: str
    argument: object
    snapshot: Path
    now: Any
    boundaries: int
    message: bool


def _story(folder: Path, policy: str) -> list[Point]:
    """Let everything happen undisturbed, and keep what was there before each call."""
    here = folder / "here"
    here.mkdir()
    host = _prepare(here, policy)
    points: list[Point] = []

    def meet(name: str, argument: object) -> int:
        snapshot = folder / f"at{len(points)}"
        shutil.copytree(here, snapshot)
        count = host.call(name, argument)
        message = isinstance(argument, func.QueueMessage)
        points.append(Point(name, argument, snapshot, host.azure.now, count, message))
        return count

    for name, event in _events():
        meet(name, event)
    host.until_quiet(meet)
    for name in TIMERS:
        meet(name, SimpleNamespace(past_due=False))
        host.until_quiet(meet)
    host.timers()
    host.check()
    return points


@contextmanager
def _played(most: int, policy: str = "") -> Iterator[list[Point]]:
    """Play the story.

    Args:
        most: With how many messages whoever sends them goes on.
        policy: The policy file that is in force; "" for none.
    """
    shm = Path("/dev/shm")  # noqa: S108 - memory, where there is one
    with (
        tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        _count(patch)
        patch.setattr(at_once, "MOST", most)
        logging.disable(logging.CRITICAL)
        try:
            yield _story(Path(name), policy)
        finally:
            logging.disable(logging.NOTSET)


@pytest.fixture(
    name="points", scope="module", params=["", POLICY], ids=["without policy", "with policy"]
)
def _points(request: pytest.FixtureRequest) -> Iterator[list[Point]]:
    """Play the story once for all functions, each message delivered by the host."""
    with _played(0, request.param) as points:
        yield points


def test_every_function_has_boundaries(
    points: list[Point], capsys: pytest.CaptureFixture[str]
) -> None:
    """The story calls every function, and there is enough to be killed at."""
    total = sum(point.boundaries for point in points)
    with capsys.disabled():
        print(f"\n{total} boundaries of {len(points)} calls of {len(FUNCTIONS)} functions")  # noqa: T201 - the promise
    # Without a policy nothing waits for an act.
    assert set(FUNCTIONS) - {point.name for point in points} <= {"carry_out_act"}
    assert total > 100


@pytest.mark.timeout(1800)  # each boundary is a process and the rest of the story
@pytest.mark.parametrize("function", FUNCTIONS)
def test_killed_at_every_boundary(function: str, points: list[Point]) -> None:
    """Wherever a process dies, each task is built once, successfully, and nothing is left over."""
    _kill(function, points)


@pytest.mark.timeout(1800)
def test_killed_while_it_goes_on_at_once() -> None:
    """From the event to the runs in one call: what was begun is delivered later, and built once."""
    with _played(_MOST) as points:
        names = [point.name for point in points]
        assert names[0] == "image_pushed"
        before = names[: names.index(TIMERS[0])]
        assert not {"plan_rebuilds", "start_build"} & set(before)
        _kill("image_pushed", points)


def _kill(function: str, points: list[Point]) -> None:
    failures = []
    for number, point in enumerate(points):
        for boundary in range(point.boundaries if point.name == function else 0):
            where = f"{point.name} (call {number}) at boundary {boundary} of {point.boundaries}"
            again = point.snapshot.with_name("again")
            shutil.copytree(point.snapshot, again)
            try:
                _kill_and_go_on(again, point, boundary)
            except Exception as error:  # noqa: BLE001 - all of them are told, not the first
                failures.append(f"{where}: {type(error).__name__} {error}")
            shutil.rmtree(again)
    assert not failures, "\n".join(failures)


def _kill_and_go_on(folder: Path, point: Point, boundary: int) -> None:
    host = Host(folder)
    host.azure.now = point.now
    host.killed(point.name, point.argument, boundary)
    if not point.message:
        # Event Grid delivers again; a timer fires again when it is time.
        host.azure.now += timedelta(seconds=10)
        host.call(point.name, point.argument)
    else:
        host.azure.now += _HIDE
    if point.name == "image_pushed":
        for name, event in _events()[1:]:
            host.call(name, event)
    host.until_quiet(host.call)
    for _ in range(2):
        # Past every lease, and past everything a sweep waits for.
        host.azure.now += timedelta(minutes=30)
        host.timers()
    host.check()
