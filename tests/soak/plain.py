"""Two stories without chance in them: very many events, and services that are out of order."""

from __future__ import annotations

import random
import tempfile
from datetime import timedelta
from pathlib import Path

from rebuilder.core.rebuilds import State
from rebuilder.core.registries import TaskId
from tests.soak.azure import APPS, SimRun, SimTask, seconds
from tests.soak.host import Host

_OUTAGES = (("storage", 60), ("arm", 600), ("registry", 600))


def _folder() -> tempfile.TemporaryDirectory[str]:
    shm = Path("/dev/shm")  # noqa: S108 - memory, where there is one
    return tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None)


def _world(host: Host, count: int) -> list[str]:
    """Make tasks that were built before, each on an image of its own."""
    names = [f"mybase.azurecr.io/images/i{number}:1" for number in range(count)]
    for number, name in enumerate(names):
        digest = host.azure.push(name, told=0)
        task = SimTask(TaskId(APPS, f"t{number}"), (name,), native=False, record={name: digest})
        built = SimRun(f"cb{number}", task.id, "commit", host.azure.now)
        built.started = built.finished = host.azure.now
        built.pulled, built.status = {name: digest}, built.ends
        task.runs.append(built)
        host.azure.tasks[task.id] = task
    return names


def many_events(count: int, seed: int) -> dict[str, object]:
    """Push `count` images, tell of each three times in any order; return what came of it."""
    rng = random.Random(seed)  # noqa: S311 - a seed is the point
    with _folder() as folder:
        host = Host(Path(folder), rng, lambda _line: None)
        names = _world(host, count)
        host.advance(timedelta(minutes=20))
        host.weather.twice = 1.0
        rng.shuffle(names)
        for name in names:
            host.azure.push(name)
        host.advance(timedelta(hours=2))
        ledger = host.context(plain=True).ledger
        tasks = host.azure.tasks
        runs = [sum(run.by == "product" for run in task.runs) for task in tasks.values()]
        stale = [
            t.id.name
            for t in tasks.values()
            if (b := t.built()) and b.pulled != host.azure.names_now(t)
        ]
        heads = ledger.heads(list(tasks))
        found: dict[str, object] = {
            "events": 3 * count,
            "runs": sum(runs),
            "not_once": sum(run != 1 for run in runs),
            "stale": len(stale),
            "not_succeeded": count - sum(h.state is State.SUCCEEDED for h in heads.values()),
            "unrest": host.waiting() + len(ledger.unsettled()) + len(host.surprises),
        }
        host.close()
    return found


def outages() -> dict[str, object]:
    """Let a service be out of order while pushes come; return what came of it afterwards."""
    problems, rebuilt = [], 0
    for service, span in _OUTAGES:
        with _folder() as folder:
            host = Host(Path(folder), random.Random(span), lambda _line: None)  # noqa: S311 - a seed
            names = _world(host, 3)
            host.advance(timedelta(minutes=20))
            host.weather.down[service] = host.azure.now + seconds(span)
            for name in names:
                host.azure.push(name)
                host.advance(seconds(span / 10))
            host.advance(timedelta(hours=1))
            context = host.context(plain=True)
            for task in host.azure.tasks.values():
                ours = [run for run in task.runs if run.by == "product"]
                rebuilt += len(ours) == 1
                built = task.built()
                if len(ours) != 1 or built is None or built.pulled != host.azure.names_now(task):
                    problems.append(f"{service}: {task.id.name} has {len(ours)} runs")
            if host.waiting() or context.ledger.unsettled() or context.dead_letters.all():
                problems.append(f"{service}: something is left over")
            host.close()
    return {"rebuilt": rebuilt, "problems": problems}
