"""Stories of operators who decide, without chance in them: each kind of decision once."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.policies.acts import Scope, Target, What
from rebuilder.core.rebuilds.messages import RUNS, TrackBuild
from tests.soak.azure import APPS, SimRun, SimTask
from tests.soak.decided import Decided
from tests.soak.steered import SteeredHost

_BASE = "mybase.azurecr.io/images/node:9"
_SOON, _LATER = timedelta(minutes=2), timedelta(minutes=25)


def _made_by(task: str) -> str:
    return f"myapps.azurecr.io/apps/{task}:latest"


@contextmanager
def _steered(tasks: Mapping[str, tuple[str, ...]], **values: Any) -> Iterator[SteeredHost]:  # noqa: ANN401 - of YAML
    """A host with tasks that were built before, and a policy file."""
    shm = Path("/dev/shm")  # noqa: S108 - memory, where there is one
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        host = SteeredHost(Path(folder), random.Random(20), lambda _line: None)  # noqa: S311 - a seed
        host.prompt, host.azure.slow, host.azure.lasts = True, 0.0, (20.0, 40.0)
        azure = host.azure
        for name in (_BASE, *map(_made_by, tasks)):
            azure.push(name, told=0)
        for number, (name, bases) in enumerate(tasks.items()):
            task = SimTask(TaskId(APPS, name), bases, native=False)
            task.record = azure.names_now(task)
            built = SimRun(f"cb{number}", task.id, "commit", azure.now)
            built.started = built.finished = azure.now
            built.pulled, built.status = dict(task.record), built.ends
            task.runs.append(built)
            azure.tasks[task.id] = task
        host.advance(timedelta(minutes=20))
        _decide(host, **values)
        host.advance(_SOON)
        yield host
        host.close()


def _decide(host: SteeredHost, **values: Any) -> None:  # noqa: ANN401 - of YAML
    host.decide(Decided(values, host.azure.now))


def _runs(host: SteeredHost, *names: str) -> int:
    """Return how often tasks were built by the product."""
    return sum(run.by == "product" and run.task.name in names for run in host.azure.runs.values())


def _wrong(name: str, host: SteeredHost, **counts: int) -> list[str]:
    """Return what the judge found, and which tasks were not built as often as they ought to be."""
    found = [f"{name}: {text}" for text in (*host.surprises, *host.azure.doubled)]
    return found + [
        f"{name}: {task} was built {_runs(host, task)} times, not {count}"
        for task, count in counts.items()
        if _runs(host, task) != count
    ]


def _votes(host: SteeredHost, *people: str, what: What = What.APPROVE) -> None:
    for rebuild in host.waiting_for_votes():
        for who in people:
            host.vote(what, rebuild, who)
    host.advance(_SOON)


def approved() -> list[str]:
    """People agree to digests, for a while, and each counts once; what is rejected is left."""
    agreed = {"approval": {"votes": 2, "expires": "20m"}}
    with _steered({"t0": (_BASE,)}, policies={"default": agreed}) as host:
        host.azure.push(_BASE)
        host.advance(_SOON)
        _votes(host, "ann", "ann")
        found = _wrong("one", host, t0=0)
        # What comes now is asked about anew.
        host.azure.push(_BASE)
        host.advance(_SOON)
        _votes(host, "bob")
        host.advance(_LATER)
        _votes(host, "cid")  # bob's counts no more
        found += _wrong("two", host, t0=0)
        _votes(host, "bob")
        found += _wrong("agreed", host, t0=1)
        host.azure.push(_BASE)
        host.advance(_SOON)
        _votes(host, "ann", what=What.REJECT)
        host.advance(_LATER)
        (task,) = host.azure.tasks.values()
        if host.judge.reason(task) != "it was rejected" or not host.judge.binding:
            found.append("rejected: it is not")
        # The same comes up again after an hour, and nobody is asked.
        host.advance(timedelta(hours=2))
        _votes(host, "ann", "bob")
        return found + _wrong("rejected", host, t0=1)


def quarantined() -> list[str]:
    """The canary goes first; it fails, and nothing is built on the digest until it is released."""
    policies = {
        "default": {"attempts": 1},
        "watched": {"canary": {"tasks": "*/first", "soak": "5m"}},
    }
    rules = [{"match": {"task": "*/second"}, "policy": "watched"}]
    tasks = dict.fromkeys(("first", "second", "third"), (_BASE,))
    with _steered(tasks, policies=policies, rules=rules) as host:
        host.azure.push(_BASE)
        host.advance(timedelta(minutes=4))
        found = _wrong("before", host, first=1, second=0, third=1)
        host.advance(timedelta(minutes=10))
        found += _wrong("after", host, first=1, second=1, third=1)
        # One that waits for nobody is paused, and goes on once it is known.
        third = Target(Scope.TASK, "myapps/third")
        host.act(What.PAUSE, third)
        host.advance(_SOON)
        host.azure.build_fails = 1.0
        bad = f"{_BASE}@{host.azure.push(_BASE)}"
        host.advance(timedelta(minutes=10))
        host.azure.build_fails = 0.0
        host.act(What.RESUME, third)
        host.advance(timedelta(minutes=10))
        if [*host.judge.quarantined] != [bad]:
            found.append("quarantined: it is not")
        found += _wrong("quarantined", host, first=2, second=1, third=1)
        if bad in host.judge.quarantined:
            host.release(bad)
        host.advance(timedelta(minutes=10))
        return found + _wrong("released", host, first=2, second=2, third=2)


def stopped() -> list[str]:
    """Too many fail that did not before: those that are left of the wave are not built."""
    default = {"attempts": 1, "breaker": {"failures": 1}}
    tasks = dict.fromkeys(("t0", "t1", "t2", "left"), (_BASE,))
    with _steered(tasks, policies={"default": default}) as host:
        left = Target(Scope.TASK, "myapps/left")
        host.act(What.PAUSE, left)
        host.advance(_SOON)
        host.azure.build_fails = 1.0
        bad = f"{_BASE}@{host.azure.push(_BASE)}"
        host.advance(timedelta(minutes=10))
        # What a person has canceled tells nothing of the image.
        ways = [run.ends is RunStatus.CANCELED for run in host.azure.runs.values()]
        found = [] if sum(ways) < len(tasks) - 2 else ["stopped: too few failed"]
        host.azure.build_fails = 0.0
        host.act(What.RESUME, left)
        host.advance(timedelta(minutes=10))
        if [*host.judge.quarantined] != [bad]:
            found.append("stopped: the digest is not quarantined")
        found += _wrong("stopped", host, left=0)
        host.azure.push(_BASE)
        host.advance(timedelta(minutes=10))
        return found + _wrong("a newer one", host, left=1)


def places() -> list[str]:
    """A message comes again when its rebuild is over: the task's next one keeps its place."""
    values = {"policies": {"default": {"maxConcurrent": 1}}}
    with _steered(dict.fromkeys(("t0", "t1"), (_BASE,)), **values) as host:
        host.azure.push(_BASE)
        host.advance(timedelta(minutes=10))
        host.azure.push(_BASE)
        while not (going := [run for run in host.azure.runs.values() if not run.finished]):
            host.advance(timedelta(seconds=1))
        task = going[0].task
        first = host.context(plain=True).ledger.rebuild(task, 1)
        assert first is not None
        again = TrackBuild(task, first.sequence, first.version - 1)
        host.queues.send(RUNS, again.encode())
        host.advance(timedelta(minutes=10))
        return _wrong("places", host, t0=2, t1=2)


def wave() -> list[str]:
    """A diamond, and one who stands on its end and on its beginning: each is built once."""
    tasks = {
        "root": (_BASE,),
        "one": (_made_by("root"),),
        "other": (_made_by("root"), _BASE),
        "tip": (_made_by("one"), _made_by("other"), _BASE),
    }
    with _steered(tasks) as host:
        host.azure.push(_BASE)
        host.advance(timedelta(hours=1))
        return _wrong("wave", host, root=1, one=1, other=1, tip=1)


def edited() -> list[str]:
    """Another policy file is in force soon after it is applied, and the next one as well."""
    with _steered({"t0": (_BASE,)}) as host:
        for number, kind in enumerate(("freeze", "window")):
            now = host.azure.now
            hours = {
                "from": f"{now + timedelta(hours=-1):%Y-%m-%dT%H:%M}",
                "to": f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M}",
                "timezone": "UTC",
            }
            if kind == "freeze":
                _decide(host, freezes=[{"name": "sale", **hours}])
            else:
                shut = {"from": hours["to"][-5:], "to": hours["from"][-5:], "timezone": "UTC"}
                _decide(host, policies={"default": {"windows": [shut]}})
            host.advance(_SOON)
            host.azure.push(_BASE)
            host.advance(_LATER)
            found = _wrong(f"in a {kind}", host, t0=number)
            host.advance(timedelta(hours=1))
            found += _wrong(f"after a {kind}", host, t0=number + 1)
            if found:
                return found
        return []


TALES = {
    "approved": approved,
    "quarantined": quarantined,
    "stopped": stopped,
    "places": places,
    "wave": wave,
    "edited": edited,
}
