"""How long a push takes that 2,000 tasks of one subscription are built on, beside ARM's own limit.

    python -m bench.fanout [--dependents 2000] [--beside 200] [--speed 2] [--rate 10] [--burst 200]

ARM is the local cloud's, reached by the real clients over TLS, with its token buckets on; runs
succeed by themselves. The use cases and their delivery are the product's, over its SQLite store,
driven by threads as the Functions host drives them; queues, product and cloud share one clock,
which runs `speed` times as fast as the wall clock. The ratio is the cloud time from the push to
the last scheduleRun over the least that the bucket of writes allows.

The product runs in a process of its own, so that its CPU time is told apart from the cloud's; what
this measurement itself does there, on the main thread, is left out. A storage operation is one
statement that the product gives to SQLite; looks at empty queues are counted apart, for they go by
time and not by work. `--beside` measures fewer dependents first, with a burst as much smaller.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import sqlite3
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import replace
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench._cloud import BenchCloud
from localcloud.clock import Clock
from rebuilder.azure.acr.tasks import ArmTasks
from rebuilder.azure.identity import credential
from rebuilder.azure.throttle import ArmThrottle
from rebuilder.composition import compose, release
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    REFRESH,
    RUNS,
    PlanRebuilds,
    Refresh,
    StartBuild,
    TrackBuild,
)
from rebuilder.core.rebuilds.rebuild import State
from rebuilder.sqlite.queues import SqliteQueues
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.context import Context
from rebuilder.usecases.events.accept import accept_event
from rebuilder.usecases.index.refresh_index import refresh_index, scan_all
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.recovery.delivery import deliver
from rebuilder.usecases.steering.places import under_way
from rebuilder.usecases.steering.policy_file import apply_policy

_TAG = "9"
_HIDE = timedelta(minutes=10)
_AGAIN = timedelta(seconds=30)
_IDLE_SECONDS = 0.01
_LOOK_SECONDS = 0.5
_READY_SECONDS = 120
_PATIENCE = 10  # times the least time
_LEAST_PATIENCE_SECONDS = 240  # what a busy machine has not done yet is not lost
_REGISTRIES = 10
RUN_SECONDS = 20
"""How long a run goes on, in cloud time."""
_NOTICED_SECONDS = 30

type Work = Callable[[Context, str], object]

_WORK: dict[str, tuple[int, Work]] = {
    # queue: threads, what its function calls
    PUSHES: (1, lambda c, b: plan_rebuilds(c, PlanRebuilds.decode(b))),
    BUILDS: (8, lambda c, b: start_build(c, StartBuild.decode(b), uuid.uuid4().hex)),
    RUNS: (4, lambda c, b: track_build(c, TrackBuild.decode(b))),
    REFRESH: (2, lambda c, b: refresh_index(c, Refresh.decode(b))),
}


class Driver:
    """Threads that work the queues off."""

    def __init__(self, context: Context, queues: SqliteQueues) -> None:
        self._context = context
        self._queues = queues
        self._stopped = threading.Event()
        self.failures: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._pump, args=(queue, work), daemon=True)
            for queue, (count, work) in _WORK.items()
            for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _pump(self, queue: str, work: Work) -> None:
        while not self._stopped.is_set():
            before = STATEMENTS.here
            received = self._queues.receive(queue, 1, _HIDE)
            if not received:
                STATEMENTS.idle += STATEMENTS.here - before
                self._stopped.wait(_IDLE_SECONDS)
            for message in received:
                try:
                    deliver(self._context, queue, message.body, work)
                except Exception as error:  # noqa: BLE001 - counted, and delivered again
                    self.failures[f"{type(error).__name__} in {queue}"] += 1
                    self._queues.renew(queue, message.id, message.pop_receipt, _AGAIN)
                else:
                    self._queues.delete(queue, message.id, message.pop_receipt)


class Statements(threading.local):
    """How many statements each thread has given to SQLite."""

    def __init__(self) -> None:
        self._mine = _Count(threading.current_thread() is threading.main_thread())
        _counts.append(self._mine)

    @property
    def here(self) -> int:
        """How many this thread has given."""
        return self._mine.given

    def count(self) -> None:
        """Count one more of this thread."""
        self._mine.given += 1

    @property
    def idle(self) -> int:
        """How many of them found an empty queue."""
        return self._mine.idle

    @idle.setter
    def idle(self, number: int) -> None:
        self._mine.idle = number


@dataclass
class _Count:
    main: bool
    given: int = 0
    idle: int = 0


_counts: list[_Count] = []
STATEMENTS = Statements()


def _counted() -> tuple[int, int]:
    """Return how many statements the product has given, and how many found an empty queue."""
    counts = [count for count in tuple(_counts) if not count.main]
    idle = sum(count.idle for count in counts)
    return sum(count.given for count in counts) - idle, idle


class _Connection(sqlite3.Connection):
    """Counts what it is given."""

    def execute(self, *arguments: Any) -> sqlite3.Cursor:  # noqa: ANN401 - passed on
        """Run a statement."""
        STATEMENTS.count()
        return super().execute(*arguments)

    def executemany(self, sql: str, rows: Iterable[Any]) -> sqlite3.Cursor:
        """Run a statement for each row, which counts as one for each."""
        given = list(rows)
        for _ in given:
            STATEMENTS.count()
        return super().executemany(sql, given)

    def commit(self) -> None:
        """End a transaction."""
        STATEMENTS.count()
        super().commit()


def _count_statements() -> None:
    connect = sqlite3.connect

    def counting(*arguments: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401 - passed on
        return connect(*arguments, factory=_Connection, **options)

    sqlite3.connect = counting  # type: ignore[assignment] # this process measures, and ends


@dataclass(frozen=True)
class _Order:
    """What the product's process is told."""

    clock: Clock
    environment: Mapping[str, str]
    settings: Mapping[str, str]
    file: Path
    tasks: tuple[TaskId, ...]
    verbose: bool
    most: int


@dataclass(frozen=True)
class _Outcome:
    """What the product's process tells.

    Attributes:
        busy: How many rebuilds were under way, at each look while some had not begun and as many
            as may be had been.
    """

    cpu: float
    statements: int
    idle_statements: int
    lost: int
    seconds: float
    failures: dict[str, int] = field(default_factory=dict)
    busy: tuple[int, ...] = ()


def _product(order: _Order, parent: Connection) -> None:
    """Work off what one push leads to; the main thread only waits and looks."""
    logging.basicConfig(level=logging.INFO if order.verbose else logging.CRITICAL)
    os.environ.update(order.environment)
    _count_statements()
    composed = compose(order.settings)
    clock, settings = order.clock, composed.settings
    queues = SqliteQueues(order.file, clock.now)
    throttle = ArmThrottle(clock=clock.elapsed)
    arm = ArmTasks(credential(""), settings.arm_endpoint, throttle, clock.elapsed)
    context = replace(composed, now=clock.now, queue=queues, tasks=arm)
    driver = Driver(context, queues)
    try:
        scan_all(context)
        _wait(lambda: len(context.index.refreshes()) == _REGISTRIES, _READY_SECONDS)
        if order.most:
            text = f"version: 1\npolicies: {{default: {{maxConcurrent: {order.most}}}}}\n"
            apply_policy(context, text, file="bench.yaml", who="bench", because="a limit")
        busy: list[int] = []
        parent.send("ready")
        event, seconds = parent.recv()
        cpu, own = time.process_time(), time.thread_time()
        began, (statements, idle) = time.perf_counter(), _counted()
        accept = threading.Thread(target=accept_event, args=(context, event))
        accept.start()
        accept.join()
        left = set(order.tasks)

        def done() -> bool:
            heads = context.ledger.heads(left)
            left.difference_update(t for t, head in heads.items() if head.state is State.SUCCEEDED)
            going = [task for task in left if task in heads and under_way(heads[task])]
            if order.most and len(going) < len(left) and (busy or len(going) == order.most):
                busy.append(len(going))
            return not left

        _wait(done, seconds)
        given, looked = _counted()
        outcome = _Outcome(
            (time.process_time() - cpu) - (time.thread_time() - own),
            given - statements,
            looked - idle,
            len(left),
            time.perf_counter() - began,
            dict(driver.failures),
            tuple(busy),
        )
        parent.send(outcome)
    finally:
        driver.stop()
        arm.close()
        release()


def measure(
    dependents: int, speed: float, rate: int, burst: int, *, verbose: bool = False, most: int = 0
) -> dict[str, Any]:
    """Push once; return what came of it.

    Args:
        dependents: How many tasks are built on the image.
        speed: How many seconds of cloud time pass in one.
        rate: How many writes a second ARM allows.
        burst: How many of them at once.
        verbose: Whether the product's log is shown.
        most: How many may be under way at once, by a policy; 0 for any number.
    """
    clock = Clock(speed)
    names = {f"build-app-{number:05}": _TAG for number in range(dependents)}
    least = (dependents - burst) / rate
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="bench-fanout-") as made,
        BenchCloud(
            Path(made) / "cloud",
            names,
            registries=_REGISTRIES,
            clock=clock,
            run_seconds=RUN_SECONDS,
        ) as bench,
    ):
        file = Path(made) / "rebuilder.db"
        settings = {
            **bench.settings,
            "AzureWebJobsStorage": f"sqlite:{file}",
            "REBUILDER_TUNING": f"arm_writes_per_second={rate}; arm_write_burst={burst}",
        }
        tasks = tuple(
            TaskId(RegistryId.parse(bench.apps[number % _REGISTRIES].id), name)
            for number, name in enumerate(names)
        )
        ours, theirs = spawn.Pipe()
        order = _Order(clock, bench.cloud.environment(), settings, file, tasks, verbose, most)
        product = spawn.Process(target=_product, args=(order, theirs))
        product.start()
        theirs.close()
        try:
            ours.recv()  # it is ready
            bench.move(_TAG, "new")
            bench.cloud.arm.requests.clear()
            bench.cloud.arm.throttle.refill()
            limits = bench.cloud.arm.throttle.limits
            limits.enabled, limits.write_size, limits.write_rate = True, burst, rate
            began, cpu = clock.elapsed(), time.process_time()
            turns = dependents / most * (RUN_SECONDS + _NOTICED_SECONDS) if most else least
            patience = max(_PATIENCE * turns / speed, _LEAST_PATIENCE_SECONDS)
            ours.send((bench.event(_TAG), patience))
            outcome: _Outcome = ours.recv()
            cloud_cpu = time.process_time() - cpu
        finally:
            ours.close()
            product.join()
        scheduled = [task for task, _ in bench.runs.scheduled]
        last = max((at for _, at in bench.runs.scheduled), default=began)
        kinds = Counter("reads" if m == "GET" else "writes" for m, _ in bench.cloud.arm.requests)
    return {
        "dependents": dependents,
        "ratio": round((last - began) / least, 4),
        "lost": outcome.lost,
        "doubled": len(scheduled) - len(set(scheduled)),
        "arm_reads": kinds["reads"],
        "arm_writes": kinds["writes"],
        "seconds": round(outcome.seconds, 1),
        "least_seconds": round(least, 1),
        "push_to_last_seconds": round(last - began, 1),
        "throttled_writes": kinds["writes"] - len(scheduled),
        "failures": outcome.failures,
        "speed": speed,
        "cpu_ms_per_rebuild": round(1000 * outcome.cpu / dependents, 2),
        "cloud_cpu_ms_per_rebuild": round(1000 * cloud_cpu / dependents, 2),
        "storage_operations_per_rebuild": round(outcome.statements / dependents, 2),
        "idle_looks": outcome.idle_statements,
        **(
            {"looks_at_busy": outcome.busy, "scheduled_at": [at for _, at in bench.runs.scheduled]}
            if most
            else {}
        ),
    }


def _wait(done: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so, or the time is over."""
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


def _tell(result: Mapping[str, Any]) -> None:
    print(
        f"{result['dependents']} dependents: the last run was scheduled"
        f" {result['push_to_last_seconds']} s after the push, ARM's least is"
        f" {result['least_seconds']} s: ratio {result['ratio']}"
    )
    print(
        f"{result['lost']} lost, {result['doubled']} doubled; ARM answered {result['arm_reads']}"
        f" reads and {result['arm_writes']} writes, {result['throttled_writes']} of them with 429;"
        f" {result['seconds']} s of real time until every task had succeeded"
    )
    print(
        f"for each rebuild: {result['storage_operations_per_rebuild']} storage operations,"
        f" {result['cpu_ms_per_rebuild']} ms of CPU (the local cloud's"
        f" {result['cloud_cpu_ms_per_rebuild']} ms not among them)",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print what came of it, and last one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dependents", type=int, default=2000, help="tasks built on the image")
    parser.add_argument("--beside", type=int, help="measure so many first, to compare with")
    parser.add_argument("--speed", type=float, default=2.0, help="cloud seconds per second")
    parser.add_argument("--rate", type=int, default=10, help="writes a second that ARM allows")
    parser.add_argument("--burst", type=int, default=200, help="writes at once that ARM allows")
    parser.add_argument("--verbose", action="store_true", help="show the product's log")
    options = parser.parse_args(arguments)
    if options.dependents <= options.burst:
        parser.error(f"measure more than the {options.burst} that ARM allows at once")
    result: dict[str, Any] = {}
    for dependents in filter(None, (options.beside, options.dependents)):
        burst = max(1, options.burst * dependents // options.dependents)
        measured = measure(dependents, options.speed, options.rate, burst, verbose=options.verbose)
        _tell(measured)
        names = ("dependents", "storage_operations_per_rebuild", "cpu_ms_per_rebuild")
        beside = {"beside": {name: result[name] for name in names}} if result else {}
        result = {**measured, **beside}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
