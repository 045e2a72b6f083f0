"""How long the operators' page waits for its answers, and how much it loads at first.

    python -m bench.web [--tasks 10000] [--pushes 1000000] [--rebuilds 200000] [--cache FOLDER]

The embedded store is filled by bench._past and kept in the cache folder. Each question of the page
is asked five times through the app that serves it; the median counts, the first is told beside it,
and `cpu_ms`: what the machine would take with nobody else on it. The report is asked for another
objective each time, since the same one is told again for a minute; before that, what it is made of
is summed up (`first run`, of a store without sums), and once more when nothing has happened (`next
run`). So many tasks in 12 layers are a store of their own, made anew: of them are "now" and the
graphs around an image in the middle and around a base asked, too. The last line is JSON; the exit
status is 1 if an answer takes longer than 100 ms, the graph longer than 300 ms, or the first view
loads more than 400 kB.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from copy import replace
from datetime import datetime
from pathlib import Path

from bench._layers import Layers
from bench._past import APPS, BASE, HOST, NOW, Past, digest, into_sqlite
from rebuilder.composition import compose, release
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.acr.tasks import Kind, Makes, Output
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.sqlite.index import SqliteIndex
from rebuilder.usecases.staleness.sum_up import sum_up
from rebuilder.web.app import App
from rebuilder.web.http import Request
from rebuilder.web.principals import EVERYBODY, Principal
from rebuilder.web.static import static_answer

_TIMES = 5
_CACHE = Path(tempfile.gettempdir()) / "rebuilder-bench"
_TAGS = 1000
_MOST = {
    **dict.fromkeys(("graph", "layers, graph", "layers, base"), 300.0),
}
LAYERS = 12
_PACKED = {"accept-encoding": "gzip"}
_RUNS = ("first run", "next run")
_MOST_MS, _MOST_BYTES = 100.0, 400_000
_FIRST = (
    *("/", "/app.css", "/app.js", "/lib.js", "/ui.js", "/icon.svg", "/pages/now.js"),
    *("/vendor/preact.js", "/vendor/hooks.js", "/vendor/htm.js"),
)


def made(past: Past, cache: Path) -> Path:
    """Return the file of a past, with an index of its tasks."""
    file = cache / f"web-{past.tasks}-{past.pushes}-{past.rebuilds}.db"
    if file.exists():
        return file
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    into_sqlite(past, unfinished)
    index_into(unfinished, _indexed(past), NOW)
    unfinished.rename(file)
    return file


def _indexed(past: Past) -> Iterator[IndexedTask]:
    for number in range(past.tasks):
        tag = past.tag_of(number)
        said = (Said(past.reference(tag), Kind.RUNTIME, digest(tag)),)
        view = join(past.task(number), [Evidence(Source.ACR_RECORD, said)])
        output = Output(Makes.IMAGE, (f"{past.task(number).name}:latest",), "its step pushes it")
        yield IndexedTask(replace(view, output=output), NOW)


def index_into(file: Path, tasks: Iterable[IndexedTask], now: datetime) -> None:
    """Write what is known of tasks into a store."""
    index = SqliteIndex(file)
    index.replace_many(list(tasks))
    for registry in APPS:
        index.mark_refreshed(registry, now)
    index.close()


def layered(layers: Layers, file: Path) -> dict[str, str]:
    """Write tasks in layers into a new store; return the settings that read it."""
    into_sqlite(layers, file)
    index_into(file, layers.indexed(), layers.now)
    return settings(file, (BASE, *APPS))


def settings(file: Path, bases: Iterable[RegistryId] = (BASE,)) -> dict[str, str]:
    """Return the settings that read a store."""
    return {
        "AzureWebJobsStorage": f"sqlite:{file}",
        "REBUILDER_BASE_REGISTRIES": " ".join(map(str, bases)),
        "REBUILDER_TASK_REGISTRIES": " ".join(map(str, APPS)),
    }


def questions(past: Past) -> dict[str, tuple[str, dict[str, str]]]:
    """Return what the page asks, each with its path and its query."""
    task = past.task(past.tasks // 2)
    image = str(past.reference(3))
    return {
        "now": ("/api/now", {}),
        "changes": ("/api/changes", {}),
        "tasks": ("/api/tasks", {"limit": "50"}),
        "tasks by base": ("/api/tasks", {"base": image, "limit": "100"}),
        "tasks waiting": ("/api/tasks", {"standing": "waiting", "limit": "100"}),
        "task": ("/api/task", {"name": f"{task.registry.name}/{task.name}"}),
        "pushes": ("/api/pushes", {"day": NOW.date().isoformat(), "limit": "100"}),
        "push": ("/api/push", {"key": past.push(3).key}),
        "graph": ("/api/graph", {"focus": image, "depth": "4"}),
        "policies": ("/api/policies", {}),
        "health": ("/api/health", {}),
        "acts": ("/api/acts", {}),
        "report": ("/api/report", {"days": "7"}),
    }


def asked(
    env: Mapping[str, str], now: datetime, questions: Mapping[str, tuple[str, dict[str, str]]]
) -> dict[str, dict[str, float]]:
    """Ask the app, print how long each answer takes, and return it."""
    context = replace(compose(env), now=lambda: now, _hosts={BASE: HOST})  # ARM is asked for once
    app = App(lambda: context, lambda _: Principal("bench", "bench", EVERYBODY))
    for run in _RUNS if "report" in questions else ():
        begun, worked = time.perf_counter(), time.process_time()
        sum_up(context, run)
        taken_s, cpu_s = time.perf_counter() - begun, time.process_time() - worked
        print(f"{run:16} s {taken_s:9.2f}  cpu_s {cpu_s:9.2f}", flush=True)
    results = {}
    for name, (path, query) in questions.items():
        taken, size, worked = [], 0, time.process_time()
        for number in range(_TIMES):
            more = {"objective": f"{240 + number}"} if name == "report" else {}
            begun = time.perf_counter()
            found = app.answer(Request("GET", path, {**query, **more}, _PACKED))
            taken.append((time.perf_counter() - begun) * 1000)
            size = len(found.body)
            if found.status != 200:  # noqa: PLR2004 - of HTTP
                raise RuntimeError(f"{path}: {found.status} {found.body[:200]!r}")
        results[name] = {
            "ms": round(statistics.median(taken), 1),
            "first_ms": round(taken[0], 1),
            "cpu_ms": round((time.process_time() - worked) * 1000 / len(taken), 1),
            "bytes": size,
        }
        told = (f"{key} {value:8}" for key, value in results[name].items())
        print(f"{name:16} {'  '.join(told)}", flush=True)
    release()
    return results


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--pushes", type=int, default=1_000_000)
    parser.add_argument("--rebuilds", type=int, default=200_000)
    parser.add_argument("--cache", type=Path, default=_CACHE, help="where pasts are kept")
    options = parser.parse_args()
    past = Past(options.pushes, options.rebuilds, options.tasks, _TAGS)
    with tempfile.TemporaryDirectory(prefix="bench-web-") as folder:
        file = Path(folder) / "store.db"
        shutil.copy(made(past, options.cache), file)
        results = asked(settings(file), NOW, questions(past))
        layers = Layers(options.tasks, LAYERS, NOW)
        env = layered(layers, Path(folder) / "layers.db")
        middle = str(layers.image(layers.begins[LAYERS // 2]))
        more = {
            "layers, now": ("/api/now", {}),
            "layers, graph": ("/api/graph", {"focus": middle, "depth": "12"}),
            "layers, base": ("/api/graph", {"focus": str(layers.tag(0)), "depth": "12"}),
        }
        results |= asked(env, NOW, more)
    loaded = sum(len(static_answer(Request("GET", path, {}, _PACKED)).body) for path in _FIRST)
    loaded += max(int(results[name]["bytes"]) for name in ("now", "layers, now"))
    loaded += int(results["report"]["bytes"])
    slow = [name for name, found in results.items() if found["ms"] > _MOST.get(name, _MOST_MS)]
    print(
        json.dumps(
            {
                "tasks": past.tasks,
                "pushes": past.pushes,
                "rebuilds": past.rebuilds,
                "results": results,
                "first_view_bytes": loaded,
                "slow": slow,
            }
        )
    )
    return 1 if slow or loaded > _MOST_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
