"""How long a push takes that 2,000 tasks of one subscription are built on, beside ARM's own limit.

    python -m bench.fanout [--dependents 2000] [--speed 2] [--rate 10] [--burst 200]

ARM is the local cloud's, reached by the real clients over TLS, with its token buckets on; runs
succeed by themselves. The use cases and their delivery are the product's, over its SQLite store,
driven by threads as the Functions host drives them; queues, product and cloud share one clock,
which runs `speed` times as fast as the wall clock. The ratio is the cloud time from the push to
the last scheduleRun over the least that the bucket of writes allows.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench._cloud import BenchCloud
from bench.latency import environment
from localcloud.clock import Clock
from rebuilder.azure.identity import credential
from rebuilder.azure.manners import Manners
from rebuilder.azure.tasks import ArmTasks
from rebuilder.composition import compose, release
from rebuilder.core.messages import (
    BUILDS,
    PUSHES,
    REFRESH,
    RUNS,
    PlanRebuilds,
    Refresh,
    StartBuild,
    TrackBuild,
)
from rebuilder.core.rebuilds import State
from rebuilder.core.registries import RegistryId, TaskId
from rebuilder.sqlite.queues import SqliteQueues
from rebuilder.usecases.accept_event import accept_event
from rebuilder.usecases.context import Context
from rebuilder.usecases.delivery import deliver
from rebuilder.usecases.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.refresh_index import refresh_index, sweep_all
from rebuilder.usecases.start_build import start_build
from rebuilder.usecases.track_build import track_build

_TAG = "9"
_HIDE = timedelta(minutes=10)
_AGAIN = timedelta(seconds=30)
_IDLE_SECONDS = 0.01
_LOOK_SECONDS = 0.25
_PATIENCE = 10  # times the least time
_LEAST_PATIENCE_SECONDS = 240  # what a busy machine has not done yet is not lost
_REGISTRIES = 10

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
            received = self._queues.receive(queue, 1, _HIDE)
            for message in received:
                try:
                    deliver(self._context, queue, message.body, work)
                except Exception as error:  # noqa: BLE001 - counted, and delivered again
                    self.failures[f"{type(error).__name__} in {queue}"] += 1
                    self._queues.renew(queue, message.id, message.pop_receipt, _AGAIN)
                else:
                    self._queues.delete(queue, message.id, message.pop_receipt)
            if not received:
                self._stopped.wait(_IDLE_SECONDS)


def measure(dependents: int, speed: float, rate: int, burst: int) -> dict[str, Any]:
    """Push once; return what came of it."""
    clock = Clock(speed)
    names = {f"build-app-{number:05}": _TAG for number in range(dependents)}
    least = (dependents - burst) / rate
    with (
        tempfile.TemporaryDirectory(prefix="bench-fanout-") as made,
        BenchCloud(
            Path(made) / "cloud", names, registries=_REGISTRIES, clock=clock, run_seconds=20
        ) as bench,
        environment(bench.cloud.environment()),
    ):
        file = Path(made) / "rebuilder.db"
        composed = compose(
            {
                **bench.settings,
                "AzureWebJobsStorage": f"sqlite:{file}",
                "REBUILDER_ARM_WRITES_PER_SECOND": str(rate),
                "REBUILDER_ARM_WRITE_BURST": str(burst),
            }
        )
        queues = SqliteQueues(file, clock.now)
        settings = composed.settings
        arm = ArmTasks(
            credential(""),
            settings.arm_endpoint,
            Manners(settings.arm_concurrency, clock.elapsed),
            clock.elapsed,
        )
        context = replace(composed, now=clock.now, queue=queues, tasks=arm)
        driver = Driver(context, queues)
        tasks = [
            TaskId(RegistryId.parse(bench.apps[number % _REGISTRIES].id), name)
            for number, name in enumerate(names)
        ]
        try:
            sweep_all(context)
            _wait(lambda: len(context.index.refreshes()) == _REGISTRIES, _LEAST_PATIENCE_SECONDS)
            bench.move(_TAG, "new")
            bench.cloud.arm.requests.clear()
            bench.cloud.arm.throttle.refill()
            limits = bench.cloud.arm.throttle.limits
            limits.enabled, limits.write_size, limits.write_rate = True, burst, rate
            began, began_real = clock.elapsed(), time.perf_counter()
            accept_event(context, bench.event(_TAG))

            def done() -> int:
                return len(_succeeded(context, tasks))

            patience = max(_PATIENCE * least / speed, _LEAST_PATIENCE_SECONDS)
            _wait(lambda: done() == dependents, patience)
            seconds = time.perf_counter() - began_real
            lost = dependents - done()
        finally:
            driver.stop()
            arm.close()
            release()
        scheduled = [task for task, _ in bench.runs.scheduled]
        last = max((at for _, at in bench.runs.scheduled), default=began)
        kinds = Counter("reads" if m == "GET" else "writes" for m, _ in bench.cloud.arm.requests)
    return {
        "dependents": dependents,
        "ratio": round((last - began) / least, 4),
        "lost": lost,
        "doubled": len(scheduled) - len(set(scheduled)),
        "arm_reads": kinds["reads"],
        "arm_writes": kinds["writes"],
        "seconds": round(seconds, 1),
        "least_seconds": round(least, 1),
        "push_to_last_seconds": round(last - began, 1),
        "throttled_writes": kinds["writes"] - len(scheduled),
        "failures": dict(driver.failures),
        "speed": speed,
    }


def _succeeded(context: Context, tasks: Sequence[TaskId]) -> list[TaskId]:
    heads = context.ledger.heads(tasks)
    return [task for task, head in heads.items() if head.state is State.SUCCEEDED]


def _wait(done: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so, or the time is over."""
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print what came of it, and last one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dependents", type=int, default=2000, help="tasks built on the image")
    parser.add_argument("--speed", type=float, default=2.0, help="cloud seconds per second")
    parser.add_argument("--rate", type=int, default=10, help="writes a second that ARM allows")
    parser.add_argument("--burst", type=int, default=200, help="writes at once that ARM allows")
    parser.add_argument("--verbose", action="store_true", help="show the product's log")
    options = parser.parse_args(arguments)
    if options.dependents <= options.burst:
        parser.error(f"measure more than the {options.burst} that ARM allows at once")
    logging.basicConfig(level=logging.INFO if options.verbose else logging.CRITICAL)
    result = measure(options.dependents, options.speed, options.rate, options.burst)
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
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
