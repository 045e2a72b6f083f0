"""How long `rebuilder plan` takes among 10,000 tasks in 12 layers.

    python -m bench.plan [--stores sqlite,azurite] [--tasks 10000] [--layers 12]

Each store is real: a SQLite file, or Azurite. Each task reads one or two images of the layer above
and has a rebuild that tells how long it takes. The question is asked in a process of its own, whose
greatest size is told; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import batched
from pathlib import Path
from typing import Any

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Kind, Makes, Output
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, TaskView, join
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.core.rebuilds.rebuild import Rebuild, State

_APPS = tuple(
    RegistryId("11111111-1111-4111-8111-111111111111", "g", f"apps{n}") for n in range(10)
)
_BASE = RegistryId("11111111-1111-4111-8111-111111111111", "g", "mybase")
_ROOT = ImageReference.parse("mybase.azurecr.io/images/node:20")
_OLD = "sha256:" + "a" * 64
_BATCH = 2000


def _image(number: int) -> str:
    return f"{_APPS[number % 10].name}.azurecr.io/app{number:06}:1"


def _view(number: int, width: int) -> TaskView:
    above = [number - width, number - width - 1] if number >= width else []
    names = [_image(n) for n in above if n >= 0] or [str(_ROOT)]
    said = tuple(Said(ImageReference.parse(name), Kind.RUNTIME, _OLD) for name in names)
    evidence = [
        Evidence(Source.ACR_RECORD, said),
        Evidence(Source.BUILD_FILE, said, None, "c" * 40),
    ]
    view = join(TaskId(_APPS[number % 10], f"app{number:06}"), evidence)
    output = Output(Makes.IMAGE, (_image(number),), "its steps push it")
    return TaskView(view.task, view.evidence, view.dependencies, view.disagreements, output)


@contextmanager
def _settings(store: str, folder: Path) -> Iterator[dict[str, str]]:
    base = {
        "REBUILDER_BASE_REGISTRIES": ", ".join(map(str, (_BASE, *_APPS))),
        "REBUILDER_TASK_REGISTRIES": ", ".join(map(str, _APPS)),
    }
    if store == "sqlite":
        yield {"AzureWebJobsStorage": f"sqlite:{folder / 'rebuilder.db'}", **base}
        return
    from tests.azurite import Azurite  # noqa: PLC0415 - for this store alone

    server = Azurite(folder)
    try:
        yield {"AzureWebJobsStorage": server.connection_string, **base}
    finally:
        server.stop()


def _fill(env: dict[str, str], tasks: int, layers: int) -> None:
    from rebuilder.composition import compose, release  # noqa: PLC0415 - not in the parent's time

    context, now = compose(env), datetime.now(UTC)
    width = tasks // layers
    for some in batched(range(tasks), _BATCH, strict=False):
        views = [IndexedTask(_view(n, width), now) for n in some]
        context.index.replace_many(views)
        for indexed in views:
            ended = now - timedelta(days=1)
            context.ledger.claim(
                Rebuild(
                    indexed.view.task,
                    1,
                    "k" * 64,
                    (f"{_ROOT}@{_OLD}",),
                    f"{_BASE}|images/node|20|{_OLD}",
                    State.SUCCEEDED,
                    ended - timedelta(minutes=3),
                    "bench",
                    ended,
                    finished_at=ended,
                )
            )
        sys.stderr.write(f"\r  {some[-1] + 1} tasks ")
        sys.stderr.flush()
    for registry in _APPS:
        context.index.mark_refreshed(registry, now)
    release()


def _ask(env: dict[str, str]) -> dict[str, Any]:
    """Ask in this process, whose hosts are known without ARM."""
    from rebuilder.composition import compose  # noqa: PLC0415 - its time is measured apart
    from rebuilder.usecases.waves.preview import preview  # noqa: PLC0415 - as above

    context = compose(env)
    for registry in (_BASE, *_APPS):
        context._hosts[registry] = f"{registry.name}.azurecr.io"  # noqa: SLF001 - there is no ARM
    began, work = time.perf_counter(), time.process_time()
    found = preview(context, _ROOT)
    _, minutes = found.critical_path()
    return {
        "tasks": len(found.tasks),
        "layers": found.depth,
        "criticalMinutes": minutes,
        "seconds": round(time.perf_counter() - began, 3),
        "cpuSeconds": round(time.process_time() - work, 3),
        "peakMiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def main() -> None:
    """Measure, or ask in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", default="sqlite,azurite")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--ask", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        sys.stdout.write(json.dumps(_ask(json.loads(options.ask))) + "\n")
        return
    results = {}
    for store in options.stores.split(","):
        with (
            tempfile.TemporaryDirectory(prefix="bench-plan-") as folder,
            _settings(store, Path(folder)) as env,
        ):
            _fill(env, options.tasks, options.layers)
            command = [sys.executable, "-m", "bench.plan", "--ask", json.dumps(env)]
            asked = [
                json.loads(subprocess.run(command, check=True, capture_output=True).stdout)  # noqa: S603 - ours
                for _ in range(3)
            ]
            results[store] = min(asked, key=lambda one: float(one["seconds"]))
    sys.stdout.write(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
