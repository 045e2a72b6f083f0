"""Stories without chance in them: very many events, services out of order, a fault each."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import replace
from datetime import timedelta
from pathlib import Path

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.rebuilds.rebuild import State
from tests.soak.azure import APPS, SimRun, SimTask, seconds
from tests.soak.host import Host
from tests.soak.tales import TALES

_MANY, _BURST = 120, 10
# A push of what two tasks stand on, one of them over the other: that one, and each of the cycle.
_ROUND = 3
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


def stories() -> dict[str, object]:
    """Let services be out of order while pushes come, and more; return what came of it."""
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
            host.advance(timedelta(hours=6))  # a run may take hours, too
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
    return {"rebuilt": rebuilt, "problems": problems + [p for name in STORIES for p in story(name)]}


def story(name: str) -> list[str]:
    """Play one of the stories of a fault; return what came out wrong."""
    return STORIES[name]()


def _turns() -> list[str]:
    """The host stops when turns are given: they are not all used at once when it goes on."""
    with _folder() as folder:
        host = Host(Path(folder), random.Random(9), lambda _line: None)  # noqa: S311 - a seed
        host.settings = replace(host.settings, arm_writes_per_second=1, arm_write_burst=_BURST)
        base = _world(host, 1)[0]
        (pattern,) = host.azure.tasks.values()
        for number in range(1, _MANY):
            task = replace(pattern, id=TaskId(APPS, f"t{number}"), runs=list(pattern.runs))
            task.record = dict(pattern.record)
            host.azure.tasks[task.id] = task
        host.advance(timedelta(minutes=20))
        host.azure.push(base)
        while sum(run.by == "product" for run in host.azure.runs.values()) < _BURST:
            host.advance(seconds(1))
        host.advance(seconds(2))
        # Every turn is given by now, and most are to come.
        host.weather.down["storage"] = host.azure.now + timedelta(minutes=5)
        host.advance(timedelta(hours=1))
        starts = sorted(
            run.created for run in host.azure.runs.values() if run.by == "product" and run.created
        )
        host.close()
    at_once = max(
        sum(1 for other in starts if start <= other < start + seconds(10)) for start in starts
    )
    found = [] if len(starts) >= _MANY else [f"turns: only {len(starts)} runs"]
    # A full bucket, and what comes back in ten seconds.
    most = _BURST + 11
    return found if at_once <= most else [*found, f"turns: {at_once} runs in ten seconds"]


def _throttled() -> list[str]:
    """ARM takes no run for five minutes: nobody looks for runs that were never asked for."""
    found = []
    for wait in (None, 90):
        with _folder() as folder:
            host = Host(Path(folder), random.Random(11), lambda _line: None)  # noqa: S311 - a seed
            names = _world(host, 20)
            for task in host.azure.tasks.values():
                task.triggers = False
            host.advance(timedelta(minutes=20))
            host.weather.throttled = host.azure.now + timedelta(minutes=5)
            host.weather.asks = [None if wait is None else seconds(wait)]
            before = host.azure.listed
            for name in names:
                host.azure.push(name)
            host.advance(timedelta(minutes=12))
            runs = sum(run.by == "product" for run in host.azure.runs.values())
            if host.azure.listed > before:
                times = host.azure.listed - before
                found.append(f"throttled: runs were looked for {times} times")
            if runs != len(names):
                found.append(f"throttled: {runs} runs for {len(names)} pushes")
            host.close()
    return found


@contextmanager
def _host(number: int, count: int = 1) -> Iterator[tuple[Host, list[str]]]:
    """A host with tasks that were built before, each on an image of its own."""
    with _folder() as folder:
        host = Host(Path(folder), random.Random(number), lambda _line: None)  # noqa: S311 - a seed
        names = _world(host, count)
        host.advance(timedelta(minutes=20))
        yield host, names
        host.close()


def _stale(host: Host) -> list[str]:
    return [
        task.id.name
        for task in host.azure.tasks.values()
        if (built := task.built()) is None or built.pulled != host.azure.names_now(task)
    ]


def _replayed() -> list[str]:
    """A letter is replayed while what it waited for goes on: it is not lost."""
    with _host(12) as (host, (name,)):
        (task,) = host.azure.tasks.values()
        host.azure.slow = 0.0
        run = host.azure.schedule(task, "commit", ends=RunStatus.FAILED, lasts=timedelta(hours=1))
        host.azure.push(name)
        host.advance(timedelta(minutes=6))
        host.poison()
        host.advance(timedelta(minutes=6))
        host.replay()
        host.advance(timedelta(minutes=6))
        found = [f"replayed: {surprise}" for surprise in host.surprises]
        if run.finished is not None or not host.waiting():
            found.append("replayed: nobody waits for the end of the run")
        host.advance(timedelta(hours=2))
        return found + [f"replayed: {name} is stale" for name in _stale(host)]


def _clock_ahead() -> list[str]:
    """Every instance's clock is a day ahead for a while, and then right: nothing waits a day."""
    with _host(13, 40) as (host, names):
        host.settings = replace(host.settings, arm_writes_per_second=1, arm_write_burst=_BURST)
        host._instances.clear()
        host.weather.skews = dict.fromkeys((0, 1), timedelta(days=1))
        for name in names[:20]:
            host.azure.push(name)
        host.advance(seconds(30))
        host.weather.skews.clear()
        for name in names[20:]:
            host.azure.push(name)
        host.advance(timedelta(hours=2))
        return [f"clock: {name} is stale" for name in _stale(host)]


def _cycle() -> list[str]:
    """Two tasks stand on each other, and answers are lost: they do not build on for ever."""
    found = []
    for lost in (0.0, 1.0):
        with _host(1) as (host, (name,)):
            # Events come at once, and runs are over before anybody looks at them.
            host.prompt, host.azure.lasts, host.azure.slow = True, (5.0, 60.0), 0.0
            for mine, bases in (
                ("left", (name, _made_by("right"))),
                ("right", (_made_by("left"),)),
            ):
                host.azure.add(SimTask(TaskId(APPS, mine), bases, native=False))
            host.advance(timedelta(hours=1))
            host.weather.unknown = lost
            before = len(host.azure.runs)
            host.azure.push(name)
            host.advance(timedelta(hours=1))
            runs = len(host.azure.runs) - before
            if runs != _ROUND:
                found.append(f"cycle: {runs} runs for a push, {lost:.0%} of all answers lost")
    return found


def _made_by(task: str) -> str:
    return f"myapps.azurecr.io/apps/{task}:latest"


def _behind() -> list[str]:
    """A run pulls its base from a copy that is behind: it is made again, later."""
    with _host(15) as (host, (name,)):
        host.azure.lags = 1.0
        host.azure.push(name)
        host.advance(timedelta(minutes=8))
        found = [] if _stale(host) else ["behind: the copy was not"]
        host.advance(timedelta(hours=2))
        return found + [f"behind: {name} is stale" for name in _stale(host)]


def _back() -> list[str]:
    """A tag goes back while a run is under way on what it named: the image is made again."""
    found = []
    for told in (1.0, 0.0):
        with _host(16) as (host, (name,)):
            (task,) = host.azure.tasks.values()
            old = host.azure.tags[name]
            host.azure.push(name)
            while not any(run.by == "product" and run.started for run in task.runs):
                host.advance(seconds(1))
            host.azure.move(name, old, told)
            host.advance(timedelta(hours=3))
            found += [f"back: {name} is stale, told: {bool(told)}" for name in _stale(host)]
            found += [f"back: {text}" for text in host.azure.doubled]
    return found


STORIES = {
    "turns": _turns,
    "throttled": _throttled,
    "replayed": _replayed,
    "clock": _clock_ahead,
    "cycle": _cycle,
    "behind": _behind,
    "back": _back,
    **TALES,
}
