"""How soon a run is scheduled: from Event Grid's request to scheduleRun's arrival at ARM.

    python -m bench.latency [--stores sqlite,azurite] [--pushes 200] [--pause 0.5]

Everything is the product's own, in the local Functions host: the HTTP endpoint of Event Grid, the
queues, the real clients of ARM and of the registry, by TLS. ARM is the local cloud's, which
answers at once. Each push moves another tag, on which one task is built. The next push comes a
random while after the last run was scheduled, so it finds the host idle, as most pushes do.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench._cloud import BenchCloud
from localcloud.functionshost import FunctionsHost
from rebuilder.composition import release
from tests.azurite import Azurite

ROOT = Path(__file__).resolve().parent.parent
_LONG = 240.0  # a push whose run was not scheduled by then is lost
_WARM_UP = 5


@contextmanager
def storage(name: str, folder: Path) -> Iterator[str]:
    """Open an empty store; give the value of AzureWebJobsStorage."""
    if name == "sqlite":
        yield f"sqlite:{folder / 'rebuilder.db'}"
        return
    server = Azurite(folder)
    try:
        yield server.connection_string
    finally:
        server.stop()


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Arrivals:
    """When scheduleRun arrived, by task."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._changed = threading.Condition()

    def told(self, task: str) -> None:
        """Remember that a task's run was scheduled now."""
        with self._changed:
            self._at[task] = time.perf_counter()
            self._changed.notify_all()

    def wait(self, task: str) -> float:
        """Return when a task's run was scheduled.

        Raises:
            RuntimeError: It was not.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: task in self._at, _LONG):
                raise RuntimeError(f"{task}: no run was scheduled in {_LONG:.0f} s")
            return self._at[task]


def measure(store: str, pushes: int, pause: float) -> dict[str, Any]:
    """Push so often; return what came of it."""
    names = {f"build-app-{number}": f"v{number}" for number in range(pushes + _WARM_UP)}
    rng = random.Random(7)  # noqa: S311 - a pause, the same in every measurement
    arrivals = Arrivals()
    with (
        tempfile.TemporaryDirectory(prefix="bench-latency-") as made,
        storage(store, Path(made)) as value,
        BenchCloud(Path(made) / "cloud", names) as bench,
        environment(bench.cloud.environment()),
        FunctionsHost(
            ROOT, {**bench.settings, "AzureWebJobsStorage": value}, data=Path(made)
        ) as host,
        httpx.Client(timeout=_LONG, trust_env=False) as client,
    ):
        bench.runs.told = arrivals.told
        url = host.eventgrid_url("image_pushed")
        times = []
        for name, tag in names.items():
            time.sleep(rng.uniform(0, 2 * pause))
            bench.move(tag, "new")
            event = bench.event(tag)
            told = time.perf_counter()
            client.post(
                url, json=[event], headers={"aeg-event-type": "Notification"}
            ).raise_for_status()
            times.append((arrivals.wait(name) - told) * 1000)
        scheduled = [task for task, _ in bench.runs.scheduled]
    release()
    times = times[_WARM_UP:]
    cut = statistics.quantiles(times, n=100, method="inclusive")
    return {
        "store": store,
        "pushes": pushes,
        "p50Ms": round(cut[49], 1),
        "p95Ms": round(cut[94], 1),
        "p99Ms": round(cut[98], 1),
        "worstMs": round(max(times), 1),
        "doubled": len(scheduled) - len(set(scheduled)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a line for each store, and last one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stores", default="sqlite,azurite", help="of sqlite, azurite")
    parser.add_argument("--pushes", type=int, default=200, help="how many are measured")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between, on average")
    parser.add_argument("--verbose", action="store_true", help="show the product's log")
    options = parser.parse_args(arguments)
    if options.pushes < 2:  # noqa: PLR2004 - a distribution needs two
        parser.error("measure at least 2 pushes")
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.CRITICAL,
        format="%(asctime)s.%(msecs)03d %(name)s: %(message)s",
        datefmt="%T",
    )
    results = []
    for store in options.stores.split(","):
        result = measure(store, options.pushes, options.pause)
        results.append(result)
        print(
            f"{store:8} {options.pushes} pushes: p50 {result['p50Ms']:.0f} ms,"
            f" p95 {result['p95Ms']:.0f} ms, p99 {result['p99Ms']:.0f} ms,"
            f" worst {result['worstMs']:.0f} ms, {result['doubled']} runs too many",
            flush=True,
        )
    print(json.dumps({"bench": "latency", "results": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
