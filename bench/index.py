"""How long planning one push takes, whose image 1,000 tasks are built on, among many more tasks.

    python -m bench.index [--stores sqlite,azurite] [--sizes 1000,10000,100000]

The store is real: a SQLite file, or Azurite. ARM answers at once, from memory, and counts what it
is asked. Every measured plan is of another digest, so that it writes all its decisions anew.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import replace
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import batched
from pathlib import Path
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueServiceClient

from rebuilder._unconfigured import NoDeadEvents
from rebuilder.azure.storage.queues import StorageQueues
from rebuilder.azure.storage.tables.index import TableIndex
from rebuilder.azure.storage.tables.ledger import TableLedger
from rebuilder.core.acr.access import PullAccess
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import Registry, RegistryId, TaskId
from rebuilder.core.acr.tasks import Dependency, Kind, Run, Task
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.dependencies.evidence import (
    Evidence,
    ImageContent,
    Said,
    Source,
    TaskView,
    join,
    recorded,
)
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import BUILDS, PlanRebuilds
from rebuilder.errors import NotFound, TransientError
from rebuilder.foreign.registries import OciRegistries
from rebuilder.ports.acr import LogPart, TaskPage
from rebuilder.ports.index import DependencyIndex
from rebuilder.ports.ledger import Ledger
from rebuilder.ports.queue import WorkQueue
from rebuilder.ports.sources import SourceFile
from rebuilder.settings import Settings
from rebuilder.sqlite.bookmarks import SqliteBookmarks
from rebuilder.sqlite.dead_letters import SqliteDeadLetters
from rebuilder.sqlite.index import SqliteIndex
from rebuilder.sqlite.ledger import SqliteLedger
from rebuilder.sqlite.queues import SqliteQueues
from rebuilder.usecases.context import Context
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from tests.azurite import Azurite

BASE = RegistryId("11111111-1111-4111-8111-111111111111", "base-images", "mybaseregistry")
APPS = tuple(
    RegistryId("22222222-2222-4222-8222-222222222222", "applications", f"apps{number:03}")
    for number in range(100)
)
HOST = "mybaseregistry.azurecr.io"
PUSHED = ImageReference.parse(f"{HOST}/images/node:20")
OLD = "sha256:" + "a" * 64
DEPENDENTS = 1000
_BATCH = 5000
_TRIES = 5
_REPETITIONS = {"sqlite": 15, "azurite": 3}


@dataclass
class Arm:
    """ARM's side, in memory: the tasks that are asked for, and how many requests that took."""

    known: dict[TaskId, Task]
    requests: list[str] = field(default_factory=list)

    def _count(self, kind: str) -> None:
        # A plan asks from several threads; to append is one step, to add up is not.
        self.requests.append(kind)

    def registry(self, registry: RegistryId) -> Registry:
        """Read a registry."""
        self._count("registry")
        return Registry(registry, f"{registry.name}.azurecr.io")

    def tasks(self, registry: RegistryId) -> Iterator[Task]:
        """Read every task of a registry."""
        del registry
        self._count("list tasks")
        yield from self.known.values()

    def page(self, registry: RegistryId, after: str = "") -> TaskPage:
        """Read some of the tasks of a registry."""
        del registry, after
        self._count("list tasks")
        return TaskPage(tuple(self.known.values()))

    def task(self, task: TaskId, age: timedelta = timedelta()) -> Task:
        """Read a task."""
        del age
        self._count("read task")
        return self.known[task]

    def schedule(self, task: TaskId, token: str) -> str:
        """Start a run."""
        raise NotFound(f"{task} {token}: a plan starts nothing")

    def run(self, registry: RegistryId, run_id: str) -> Run:
        """Read a run."""
        raise NotFound(f"{registry} {run_id}: a plan reads no run")

    def secrets(self, task: TaskId) -> frozenset[str]:
        """Read the names of secret arguments."""
        raise NotFound(f"{task}: a plan asks for no secret")

    def log_end(self, registry: RegistryId, run_id: str) -> str:
        """Read the end of a run's log."""
        raise NotFound(f"{registry} {run_id}: a plan reads no log")

    def log_part(self, registry: RegistryId, run_id: str, place: str) -> LogPart:
        """Read a part of a run's log."""
        raise NotFound(f"{registry} {run_id} {place}: a plan reads no log")

    def runs(self, registry: RegistryId, *, task: str | None = None, top: int) -> list[Run]:
        """Read the newest runs."""
        del registry, task, top
        self._count("list runs")
        return []

    def close(self) -> None:
        """Do nothing."""


@dataclass
class Images:
    """The base registry: one tag, and what it names now."""

    now: str = OLD

    def digest(self, login_server: str, repository: str, tag: str) -> str | None:
        """Return what a tag names."""
        del login_server, repository, tag
        return self.now

    def created(self, login_server: str, repository: str, digest: str) -> datetime | None:
        """Return when a digest came."""
        del login_server, repository, digest
        return None

    def tagged(self, login_server: str, repository: str, tag: str, digest: str) -> datetime | None:
        """Return when a tag was last written: never but once."""
        del tag
        return self.created(login_server, repository, digest)

    def content(
        self, login_server: str, repository: str, reference: str, platform: str
    ) -> ImageContent | None:
        """Return what an image is made of."""
        raise NotFound(f"{login_server}/{repository}:{reference} {platform}: a plan reads no image")

    def close(self) -> None:
        """Do nothing."""


class Access:
    """Everybody may pull."""

    def pull(self, registry: RegistryId, principal: str) -> PullAccess:
        """Tell whether an identity may pull."""
        del registry, principal
        return PullAccess(allowed=True, role="AcrPull")

    def close(self) -> None:
        """Do nothing."""


class Sources:
    """Nothing is read."""

    def read(self, context: str, path: str) -> SourceFile:
        """Read a file of a context."""
        raise NotFound(f"{context} {path}: a plan reads no file")

    def expires(self, host: str) -> datetime | None:
        """Tell when a token ends: nobody has one."""
        del host
        return None

    def close(self) -> None:
        """Do nothing."""


def make_task(number: int) -> Task:
    """Return a task; the first 1,000 are built on the pushed image, the others on 500 others."""
    base = PUSHED if number < DEPENDENTS else replace(PUSHED, path=f"images/other{number % 500}")
    builder = ImageReference.parse(f"{HOST}/images/golang{number % 499}:1")
    return Task(
        TaskId(APPS[number % len(APPS)], f"build-application-{number:06}"),
        enabled=True,
        has_step=True,
        trigger_type=None,
        dependencies=(
            Dependency(base, Kind.RUNTIME, OLD),
            Dependency(builder, Kind.BUILD_TIME, OLD),
        ),
    )


def make_view(number: int) -> TaskView:
    """Return what the index knows of a task: ACR's record, and a build file that names one more."""
    task = make_task(number)
    record = recorded(task)
    tools = ImageReference.parse(f"{HOST}/images/tools{number % 503}:1")
    copied = Said(tools, Kind.BUILD_TIME, None, "Dockerfile, line 7: COPY --from")
    file = Evidence(Source.BUILD_FILE, (*record.images, copied), None, "c" * 40)
    return join(task.id, [record, file])


@contextmanager
def store(name: str, folder: Path) -> Iterator[tuple[Ledger, WorkQueue, DependencyIndex]]:
    """Open an empty store."""
    if name == "sqlite":
        file = folder / "rebuilder.db"
        yield SqliteLedger(file), SqliteQueues(file), SqliteIndex(file)
        return
    # It holds everything in memory, and 100,000 tasks are more than Node.js allows by itself.
    os.environ.setdefault("NODE_OPTIONS", "--max-old-space-size=12288")
    server = Azurite(folder)
    try:
        with (
            TableServiceClient.from_connection_string(server.connection_string) as tables,
            QueueServiceClient.from_connection_string(server.connection_string) as queues,
        ):
            yield TableLedger(tables), StorageQueues(queues), TableIndex(tables)
            _empty(queues)
    finally:
        server.stop()


def _empty(queues: QueueServiceClient) -> None:
    try:
        queues.get_queue_client(BUILDS).clear_messages()
    except ResourceNotFoundError:
        return


def fill(index: DependencyIndex, size: int, at: datetime) -> float:
    """Put so many tasks into the index; return the seconds it took."""
    began = time.perf_counter()
    for done, some in enumerate(batched(range(size), _BATCH, strict=False), 1):
        views = [IndexedTask(make_view(number), at) for number in some]
        for again in range(_TRIES):
            try:
                index.replace_many(views)
                break
            except TransientError:
                # Azurite closes connections that were idle for 5 s, sometimes under a request.
                if again == _TRIES - 1:
                    raise
        seconds = time.perf_counter() - began
        sys.stderr.write(f"\r  {min(done * _BATCH, size)} of {size} tasks in {seconds:.0f} s ")
        sys.stderr.flush()
    for registry in APPS:
        index.mark_refreshed(registry, at)
    sys.stderr.write("\n")
    return time.perf_counter() - began


def measure(name: str, size: int) -> dict[str, Any]:
    """Plan pushes among `size` tasks."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-index-") as folder,
        store(name, Path(folder)) as (ledger, queue, index),
    ):
        now = datetime.now(UTC)
        filled = fill(index, size, now)
        arm = Arm({task.id: task for task in map(make_task, range(min(size, DEPENDENTS)))})
        images = Images()
        settings = Settings(frozenset({BASE}), APPS, "bench")
        context = Context(
            settings=settings,
            ledger=ledger,
            queue=queue,
            tasks=arm,
            images=images,
            access=Access(),
            index=index,
            sources=Sources(),
            bookmarks=SqliteBookmarks(Path(folder) / "rest.db"),
            dead_letters=SqliteDeadLetters(Path(folder) / "rest.db"),
            foreign=OciRegistries(()),
            dead_events=NoDeadEvents(),
            now=lambda: now + timedelta(seconds=1),
        )
        context.host(BASE)

        def plan(number: int) -> None:
            images.now = f"sha256:{number:064x}"
            push = Push(BASE, PUSHED.path, str(PUSHED.tag), images.now, now, "bench")
            decisions = plan_rebuilds(context, PlanRebuilds(push))
            if sum(isinstance(decision, BaseMoved) for decision in decisions) != DEPENDENTS:
                raise RuntimeError(f"{len(decisions)} decisions, not {DEPENDENTS} rebuilds")

        plan(1)  # opens connections and makes tables
        arm.requests.clear()
        times, worked = [], []
        for number in range(_REPETITIONS[name]):
            gc.collect()
            began, began_work = time.perf_counter(), time.process_time()
            plan(number + 2)
            times.append(time.perf_counter() - began)
            worked.append(time.process_time() - began_work)
        requests = {kind: count // len(times) for kind, count in Counter(arm.requests).items()}
        tracemalloc.start()
        plan(99)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return {
        "store": name,
        "tasks": size,
        "dependents": DEPENDENTS,
        "planMedianMs": round(statistics.median(times) * 1000, 1),
        "planBestMs": round(min(times) * 1000, 1),
        "planWorstMs": round(max(times) * 1000, 1),
        "planCpuMs": round(statistics.median(worked) * 1000, 1),
        "planPeakMiB": round(peak / 2**20, 1),
        "armCalls": requests,
        "fillSeconds": round(filled, 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a line for each store and size, and last one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stores", default="sqlite,azurite", help="of sqlite, azurite")
    parser.add_argument("--sizes", default="1000,10000,100000", help="tasks in the index")
    options = parser.parse_args(arguments)
    sizes = [int(size) for size in options.sizes.split(",")]
    if min(sizes) < DEPENDENTS:
        parser.error(f"a size is at least {DEPENDENTS}")
    results: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    for name in options.stores.split(","):
        for size in sizes:
            result = measure(name, size)
            results.append(result)
            print(
                f"{name:8} {size:7} tasks: plan {result['planMedianMs']:8.1f} ms"
                f" (best {result['planBestMs']}, worst {result['planWorstMs']}),"
                f" peak {result['planPeakMiB']} MiB, ARM {result['armCalls']}",
                flush=True,
            )
        # Of the best times: what else the machine does disturbs them least.
        best = {r["tasks"]: r["planBestMs"] for r in results if r["store"] == name}
        ratios[name] = round(best[max(sizes)] / best[min(sizes)], 3)
    print(json.dumps({"bench": "index", "results": results, "ratioLargestToSmallest": ratios}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
