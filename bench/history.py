"""What a long history costs: the same day's work with a thousand pushes before it and a million.

    python -m bench.history [--stores sqlite,azurite] [--pushes 1000000] [--rebuilds 200000]
        [--cache FOLDER]

A day's work is: three tags move, their pushes are planned, the runs started and followed to their
end; a sweep; what came of the three explained; the day audited. What is counted:

* in the embedded store the rows that statements answer with or change, the statements, and the
  instructions of SQLite's machine, which also tell of rows that are passed over. No statement may
  walk through the whole of a table that holds history;
* in Azurite the entities in its answers or changed by them, and the requests.

The work is done twice, first to take its time, then to count. A past of the embedded store is made
once and kept in the cache folder. Azurite holds everything in memory, of a million pushes some
6 GB, and is given its past beside the wire, where it would take hours (past_in_azurite.cjs). Each
task has 20 rebuilds at least, for so many of them are never forgotten. The exit status is 1 if
something grows.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import replace
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from azure.core.pipeline import PipelineResponse
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueServiceClient

from bench import _past
from bench._past import APPS, BASE, NOW, Past
from rebuilder.azure.storage.queues import StorageQueues
from rebuilder.azure.storage.tables._version import STORE
from rebuilder.azure.storage.tables.bookmarks import TableBookmarks
from rebuilder.azure.storage.tables.dead_letters import TableDeadLetters
from rebuilder.azure.storage.tables.index import TableIndex
from rebuilder.azure.storage.tables.ledger import TableLedger
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import RunStatus, Task
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import PlanRebuilds, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.core.rebuilds.records import VERSION
from rebuilder.core.times import Clock
from rebuilder.ports.bookmarks import Bookmarks
from rebuilder.ports.dead_letters import DeadLetters
from rebuilder.ports.index import DependencyIndex
from rebuilder.ports.ledger import Ledger
from rebuilder.ports.queue import WorkQueue
from rebuilder.settings import Settings
from rebuilder.sqlite.bookmarks import SqliteBookmarks
from rebuilder.sqlite.dead_letters import SqliteDeadLetters
from rebuilder.sqlite.index import SqliteIndex
from rebuilder.sqlite.ledger import SqliteLedger
from rebuilder.sqlite.queues import SqliteQueues
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.reports.audit import audit
from rebuilder.usecases.reports.explain import explain
from tests.azurite import Azurite
from tests.unit import fakes

log = logging.getLogger(__name__)

OPERATIONS = ("plan", "start", "track", "sweep", "explain", "audit")
_CACHE = Path(__file__).resolve().parent.parent / ".tools" / "bench"
_HISTORY = ("pushes", "ignored", "decisions", "rebuilds", "outputs")
_PARTIAL = "pushes_unplanned"  # an index of what is still to be done: walking through it is meant
_FILLED_SECONDS = 900  # for what Azurite is asked until it has taken a past in
_MOVES = 3
_LEAST = 20  # rebuilds of each task
_TASKS, _TAGS = 2000, 50
"""How many tasks, and on how many tags."""


@dataclass(slots=True)
class Counts:
    """What one operation asked of a store.

    Attributes:
        rows: Rows or entities that were answered with or changed.
        requests: Statements or requests.
        steps: Instructions of SQLite's machine.
        seconds: How long it took, when nothing was counted.
    """

    rows: int = 0
    requests: int = 0
    steps: int = 0
    seconds: float = 0.0


@dataclass
class Tally:
    """Counts what is asked of a store, by operation; and the scans of tables of history."""

    operation: str = ""
    counts: dict[str, Counts] = field(default_factory=dict)
    scans: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, rows: int = 0, requests: int = 0, steps: int = 0) -> None:
        """Count something for the operation that is under way."""
        with self._lock:
            counted = self.counts.setdefault(self.operation, Counts())
            counted.rows += rows
            counted.requests += requests
            counted.steps += steps


# The embedded store.


class _Cursor(sqlite3.Cursor):
    def fetchone(self) -> Any:  # noqa: ANN401 - as SQLite's
        row = super().fetchone()
        self._tell(row is not None)
        return row

    def fetchall(self) -> list[Any]:
        rows = super().fetchall()
        self._tell(len(rows))
        return rows

    def __next__(self) -> Any:  # noqa: ANN401 - as SQLite's
        row = super().__next__()
        self._tell(1)
        return row

    def _tell(self, rows: int) -> None:
        connection = self.connection
        assert isinstance(connection, _Connection)  # noqa: S101 - which made it
        connection.tally.add(rows)


class _Connection(sqlite3.Connection):
    tally: Tally

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:  # noqa: ANN401
        if sql.startswith("PRAGMA"):
            # Such as the look at the file's version, which is taken once a second.
            self.set_progress_handler(None, 0)
            return sqlite3.Cursor(self).execute(sql)
        self._look(sql, parameters)
        return self._counted(lambda: self.cursor(_Cursor).execute(sql, parameters))

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:  # noqa: ANN401
        given = list(parameters)
        if given:
            self._look(sql, given[0])
        self.tally.add(requests=max(0, len(given) - 1))
        return self._counted(lambda: self.cursor(_Cursor).executemany(sql, given))

    def _counted(self, run: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        before = self.total_changes
        cursor = run()
        self.tally.add(self.total_changes - before, 1)
        return cursor

    def _look(self, sql: str, parameters: Any) -> None:  # noqa: ANN401
        """Note whether a statement walks through a table of history."""
        self.set_progress_handler(None, 0)
        plan: list[Any] = []
        if sql.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
            plan = sqlite3.Cursor(self).execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
        self.set_progress_handler(self._step, 1)
        for *_, told in plan:
            words = str(told).split()
            if words[0] == "SCAN" and words[1] in _HISTORY and _PARTIAL not in words:
                self.tally.scans.add(f"{told}: {sql}")

    def _step(self) -> int:
        self.tally.add(steps=1)
        return 0


@contextmanager
def _statements_counted(tally: Tally) -> Iterator[None]:
    """Count in every connection that is opened meanwhile."""
    connect = sqlite3.connect

    def counting(*arguments: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401
        made = connect(*arguments, factory=_Connection, **options)
        made.tally = tally
        made.set_progress_handler(made._step, 1)  # noqa: SLF001 - ours
        return made

    sqlite3.connect = counting  # type: ignore[assignment] # until this ends
    try:
        yield
    finally:
        sqlite3.connect = connect


# Azurite.


class Answers:
    """Counts requests, and the entities in their answers."""

    def __init__(self) -> None:
        self.tally = Tally()

    def __call__(self, response: PipelineResponse[Any, Any]) -> None:
        """Count an answer, but for the look at the store's version, which is taken by time."""
        if f"/{STORE}(" in response.http_request.url:
            return
        self.tally.add(_entities(response.http_response), 1)


def _entities(answer: Any) -> int:  # noqa: ANN401 - of the SDK
    if "multipart" in answer.headers.get("Content-Type", ""):
        return int(answer.body().count(b"HTTP/1.1 2"))  # the changes of a transaction
    if answer.status_code >= 400:  # noqa: PLR2004 - an error
        return 0
    if answer.request.method != "GET" or "json" not in answer.headers.get("Content-Type", ""):
        return 1
    found = json.loads(answer.body())
    return len(found["value"]) if "value" in found else 1


# The day.


@dataclass
class Day:
    """The product over a store with a past, on the day after it.

    Attributes:
        past: What was before.
        context: The product's.
    """

    past: Past
    context: Context
    arm: fakes.FakeTasks
    images: fakes.FakeImages
    time: fakes.Time
    moved: int = 0

    def index(self) -> None:
        """Read every task for the index."""
        for registry in APPS:
            while not scan_registry(self.context, registry):
                pass

    def work(self, tally: Tally, *, seconds: dict[str, float]) -> None:
        """Do a day's work; note how long each operation took.

        Raises:
            RuntimeError: The work was not done, so there is nothing to compare.
        """

        @contextmanager
        def operation(name: str) -> Iterator[None]:
            tally.operation = name
            began = time.perf_counter()
            yield
            seconds[name] = time.perf_counter() - began
            tally.operation = ""

        pushes = [self._move() for _ in range(_MOVES)]
        with operation("plan"):
            decided = [plan_rebuilds(self.context, PlanRebuilds(push)) for push in pushes]
        builds = [
            StartBuild(push, decision.task)
            for push, decisions in zip(pushes, decided, strict=True)
            for decision in decisions
            if isinstance(decision, TaskDecision) and decision.rebuild
        ]
        expected = _MOVES * self.past.tasks // self.past.tags
        _expect("tasks to rebuild", len(builds), expected)
        with operation("start"):
            started = [start_build(self.context, build, uuid.uuid4().hex) for build in builds]
        rebuilds = [found for found in started if isinstance(found, Rebuild)]
        self.time.pass_(60)
        for rebuild in rebuilds:
            self._succeed(rebuild)
        follow = [TrackBuild(r.task, r.sequence, r.version, r.follower) for r in rebuilds]
        with operation("track"):
            ended = [track_build(self.context, message) for message in follow]
        done = [r for r in ended if r is not None and r.state is State.SUCCEEDED]
        _expect("rebuilds", len(done), expected)
        self.time.pass_(60)
        with operation("sweep"):
            report = sweep(self.context, uuid.uuid4().hex)
        _expect("tags in the sweep", report.tags, self.past.tags)
        _expect("of them missed, or problems", len(report.missed + report.problems), 0)
        with operation("explain"):
            told = [explain(self.context, _image(push)) for push in pushes]
        rebuilt = [e for found in told for e in found.decisions if e.rebuild is not None]
        _expect("rebuilds explained", len(rebuilt), expected)
        with operation("audit"):
            found = audit(self.context, NOW - timedelta(days=1), self.time())
        _expect("pushes audited", found.pushes, self.past.last_day + self.moved)

    def _move(self) -> Push:
        """Let the next tag name a new image, and have that told."""
        self.moved += 1
        push = self.past.push(-self.moved)
        push = replace(push, pushed_at=self.time())
        self.images.digests[str(_image(push))] = push.digest
        self.context.ledger.record_events([push], self.time())
        return push

    def _succeed(self, rebuild: Rebuild) -> None:
        """Let a run end well."""
        push, task = Push.from_key(rebuild.push), self.arm.known[rebuild.task]
        assert rebuild.run_id is not None  # noqa: S101 - it was scheduled
        now = self.time()
        image = f"{rebuild.task.registry.name}.azurecr.io/{rebuild.task.name}"
        self.arm.found_runs[rebuild.run_id] = fakes.run(
            rebuild.run_id,
            task=rebuild.task.name,
            status=RunStatus.SUCCEEDED,
            token=rebuild.token,
            created=now - timedelta(seconds=50),
            started=now - timedelta(seconds=40),
            finished=now - timedelta(seconds=10),
            output_images=(f"{image}:{rebuild.run_id}@{push.digest}",),
        )
        self.arm.add(
            replace(task, dependencies=(fakes.dependency(str(_image(push)), push.digest),))
        )


def _expect(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise RuntimeError(f"{found} {what}, not {expected}")


def _image(push: Push) -> ImageReference:
    return ImageReference.from_parts(_past.HOST, push.repository, push.tag, "")


def _task(past: Past, number: int) -> Task:
    tag = past.tag_of(number)
    task = past.task(number)
    on = fakes.dependency(str(past.reference(tag)), _past.digest(tag))
    return fakes.task(task.name, on, registry=task.registry)


@dataclass(frozen=True)
class _Store:
    """The adapters of one store."""

    ledger: Ledger
    queue: WorkQueue
    index: DependencyIndex
    bookmarks: Bookmarks
    dead_letters: DeadLetters


def _day(past: Past, store: _Store) -> Day:
    time = fakes.Time(NOW + timedelta(seconds=1))
    arm = fakes.FakeTasks()
    arm.add(*(_task(past, number) for number in range(past.tasks)))
    tags = range(past.tags)
    images = fakes.FakeImages({str(past.reference(tag)): _past.digest(tag) for tag in tags})
    context = Context(
        Settings(frozenset({BASE}), APPS, "bench"),
        store.ledger,
        store.queue,
        arm,
        images,
        fakes.FakeAccess(),
        fakes.FakeSources(),
        store.index,
        store.bookmarks,
        store.dead_letters,
        fakes.FakeForeign(),
        fakes.FakeDeadEvents(),
        time,
    )
    return Day(past, context, arm, images, time)


def _embedded(file: Path, clock: Clock) -> _Store:
    return _Store(
        SqliteLedger(file),
        SqliteQueues(file, clock),
        SqliteIndex(file),
        SqliteBookmarks(file),
        SqliteDeadLetters(file),
    )


def made(past: Past, cache: Path) -> Path:
    """Return a file of the embedded store that holds a past and its index; made once."""
    how = zlib.crc32(Path(_past.__file__).read_bytes())  # what is made otherwise is another past
    name = f"{VERSION}-{how:08x}-{past.pushes}-{past.rebuilds}-{past.tasks}-{past.tags}.db"
    file = cache / name
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        began, unfinished = time.perf_counter(), cache / f"{name}.{uuid.uuid4().hex}"
        _past.into_sqlite(past, unfinished)
        day = _day(past, _embedded(unfinished, lambda: NOW))
        day.index()
        day.context.close()
        unfinished.rename(file)
        log.info("%s made in %.0f s", file, time.perf_counter() - began)
    return file


def in_sqlite(past: Past, cache: Path) -> Tally:
    """Do a day's work on the embedded store, twice."""
    tally, seconds = Tally(), dict[str, float]()
    with tempfile.TemporaryDirectory(prefix="bench-history-", dir=cache) as folder:
        file = Path(folder) / "rebuilder.db"
        shutil.copyfile(made(past, cache), file)
        day = _day(past, _embedded(file, lambda: NOW))
        day.work(Tally(), seconds=seconds)
        day.context.close()
        with _statements_counted(tally):
            day.work(tally, seconds={})
            day.context.close()
    return _timed(tally, seconds)


def in_tables(past: Past, folder: Path) -> Tally:
    """Do a day's work on Azurite, twice."""
    began = time.perf_counter()
    environment = _past.into_azurite(past, folder)
    log.info("the rows for Azurite made in %.0f s", time.perf_counter() - began)
    server = Azurite(folder, environment=environment)
    answers, seconds = Answers(), dict[str, float]()
    connection = server.connection_string
    try:
        with (
            TableServiceClient.from_connection_string(
                connection, raw_response_hook=answers, read_timeout=_FILLED_SECONDS
            ) as tables,
            QueueServiceClient.from_connection_string(
                connection, raw_response_hook=answers
            ) as queues,
        ):
            began = time.perf_counter()
            _past.make_tables(tables)
            log.info("Azurite filled in %.0f s", time.perf_counter() - began)
            day = _day(
                past,
                _Store(
                    TableLedger(tables),
                    StorageQueues(queues),
                    TableIndex(tables),
                    TableBookmarks(tables),
                    TableDeadLetters(tables),
                ),
            )
            began = time.perf_counter()
            day.index()
            log.info("its index filled in %.0f s", time.perf_counter() - began)
            day.work(Tally(), seconds=seconds)
            answers.tally = tally = Tally()
            day.work(tally, seconds={})
    finally:
        server.stop()
    return _timed(tally, seconds)


def _timed(tally: Tally, seconds: Mapping[str, float]) -> Tally:
    for operation, took in seconds.items():
        tally.counts[operation].seconds = took
    return tally


def compare(store: str, small: Tally, large: Tally, pushes: int) -> list[dict[str, Any]]:
    """Print what each operation touched with few and with many pushes; return the same."""
    results = []
    for operation in OPERATIONS:
        few, many = small.counts[operation], large.counts[operation]
        results.append(
            {
                "store": store,
                "operation": operation,
                "pushes": pushes,
                "rows_small": few.rows,
                "rows_large": many.rows,
                "requests_small": few.requests,
                "requests_large": many.requests,
                "steps_small": few.steps,
                "steps_large": many.steps,
                "ms_small": round(few.seconds * 1000, 1),
                "ms_large": round(many.seconds * 1000, 1),
            }
        )
        print(
            f"{store:8} {operation:8} rows {few.rows:7} {many.rows:7}"
            f"   requests {few.requests:6} {many.requests:6}"
            f"   steps {few.steps:8} {many.steps:8}"
            f"   ms {few.seconds * 1000:8.0f} {many.seconds * 1000:8.0f}"
            f"{'   GROWS' if grows(results[-1]) else ''}",
            flush=True,
        )
    for scan in sorted(large.scans):
        print(f"{store}: walks through a table: {scan}")
    return results


def grows(result: Mapping[str, Any]) -> bool:
    """Tell whether an operation touches more where there is more history."""
    counted = ("rows", "requests", "steps")
    return any(result[f"{what}_large"] > result[f"{what}_small"] for what in counted)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 if an operation grows with history."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stores", default="sqlite,azurite", help="of sqlite, azurite")
    parser.add_argument("--pushes", type=int, default=1_000_000)
    parser.add_argument("--rebuilds", type=int, default=200_000)
    parser.add_argument("--cache", type=Path, default=_CACHE, help="where pasts are kept")
    options = parser.parse_args(arguments)
    options.cache.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    scans: set[str] = set()
    for store in options.stores.split(","):
        pasts = (
            Past(_LEAST * _TAGS, _LEAST * _TASKS, _TASKS, _TAGS),  # a push for each rebuild
            Past(options.pushes, options.rebuilds, _TASKS, _TAGS),
        )
        for past in pasts:
            print(f"{store}: {past.pushes} pushes, {past.rebuilds} rebuilds of {past.tasks} tasks")
        small, large = (_measured(store, past, options.cache) for past in pasts)
        results += compare(store, small, large, options.pushes)
        scans |= large.scans
    print(json.dumps({"results": results}))
    return 1 if scans or any(map(grows, results)) else 0


def _measured(store: str, past: Past, cache: Path) -> Tally:
    if store == "sqlite":
        return in_sqlite(past, cache)
    with tempfile.TemporaryDirectory(prefix="bench-history-") as folder:
        return in_tables(past, Path(folder))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("rebuilder").setLevel(logging.ERROR)
    for name in ("azure", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.exit(main())
