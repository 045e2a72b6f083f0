"""Random steps, and what must be true when everything has come to rest."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry, TaskId
from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.audit.model import AuditVerdict as Verdict
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Hold, Rebuild, State
from rebuilder.usecases.reports.audit import audit
from tests.soak.azure import APPS, OTHERS, START, SimRun, SimTask, is_foreign, seconds
from tests.soak.host import Host

TAGS = (
    "mybase.azurecr.io/images/node:9",
    "mybase.azurecr.io/images/node:10",
    "mybase.azurecr.io/images/python:3",
    "myapps.azurecr.io/shared/tools:1",
    "docker.io/library/alpine:3",
)
_ATTEMPTS = 3
_REPAIRS = 3
_ALL = 10_000
# The index is read anew every six hours: so late is a task seen whose event was lost.
_QUIET_HOURS = 7
_MAKERS = {APPS: 5, OTHERS: 4}


@dataclass
class Outcome:
    """What came of a round."""

    seed: int
    number: int
    problems: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    pushes: int = 0
    runs: int = 0
    adopted: int = 0
    calls: int = 0
    crashes: int = 0
    lost_events: int = 0


class Round:
    """One world, some random steps, and rest.

    Attributes:
        most_hours: For how long it may rest. A task that was left alone is decided about anew after
            an hour, a foreign image is looked at every half hour, and what is built then may be the
            base of others. A clock that was wrong may have put an attempt off for a day.
    """

    most_hours = 16 + 24

    def __init__(self, seed: int, number: int, show: Callable[[str], None] | None = None) -> None:
        self.rng = random.Random(f"{seed}/{number}")  # noqa: S311 - a seed is the point
        self.outcome = Outcome(seed, number)
        self.often = ""  # the kind of step that is taken ten times as often
        self._show = show

    def note(self, line: str) -> None:
        """Keep a line of history."""
        text = f"{self.host.azure.now:%d %H:%M:%S} {line}" if hasattr(self, "host") else line
        self.outcome.history.append(text)
        if self._show:
            self._show(text)

    def play(self, steps: int) -> Outcome:
        """Play the round."""
        # The product names its claims by chance; what it does must not depend on the names.
        names = random.Random(f"{self.outcome.seed}/{self.outcome.number}/names")  # noqa: S311
        shm = Path("/dev/shm")  # noqa: S108 - memory, where there is one
        with (
            patch.object(os, "urandom", names.randbytes),
            tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder,
        ):
            self.host = self._make_host(Path(folder))
            self._begin()
            for _ in range(steps):
                self._step()
                self.host.advance(seconds(self.rng.uniform(0, 60)))
            self._rest()
            self._judge()
            self.host.close()
        azure, found = self.host.azure, self.outcome
        found.pushes, found.runs = len(azure.pushed), len(azure.runs)
        found.calls, found.crashes = self.host.calls, self.host.crashes
        found.lost_events = self.host.events_lost
        return found

    # The world

    def _make_host(self, folder: Path) -> Host:
        return Host(folder, self.rng, self.note)

    def _begin(self) -> None:
        azure, rng = self.host.azure, self.rng
        azure.shows_tokens = rng.random() < 0.5
        for tag in TAGS:
            azure.push(tag)
        for registry, count in _MAKERS.items():
            for number in range(count):
                self._create(f"{registry.name[0]}{number}", registry)
        # A chain of two, and a cycle of two.
        shared = "myapps.azurecr.io/apps/m0:latest"
        azure.add(SimTask(TaskId(OTHERS, "chained"), (shared, TAGS[0]), native=False))
        for mine, other in (("left", "right"), ("right", "left")):
            bases = (TAGS[2], f"myapps.azurecr.io/apps/{other}:latest")
            azure.add(SimTask(TaskId(APPS, mine), bases, native=False))
        self._create_more()
        self.host.advance(timedelta(hours=1))
        azure.doubled.clear()
        azure.build_fails = rng.choice([0.0, 0.1, 0.3])
        weather = self.host.weather
        weather.fault = rng.choice([0.0, 0.01, 0.05])
        weather.crash = rng.choice([0.0, 0.005, 0.02])
        weather.pause = rng.choice([0.0, 0.005, 0.02])
        weather.lost = rng.choice([0.0, 0.1, 0.3])
        weather.twice = rng.choice([0.0, 0.3])
        weather.unknown = rng.choice([0.0, 0.1, 0.5])
        azure.lags = rng.choice([0.0, 0.3])
        self._clocks_jump = rng.random() < 0.5
        self.note("the steps begin")

    def _create_more(self) -> None:
        """Create what another kind of round has besides."""

    def _create(self, name: str, registry: object) -> None:
        native = self.rng.random() < 0.4
        task = SimTask(TaskId(registry, name), self._bases(), native)  # type: ignore[arg-type] # a RegistryId
        self.host.azure.add(task)

    def _bases(self) -> tuple[str, ...]:
        return tuple(self.rng.sample(TAGS, self.rng.choice([1, 1, 2])))

    def _step(self) -> None:
        steps = (
            (self._push, 10),
            (self._edit, 1),
            (self._switch, 1),
            (self._delete_or_create, 0.5),
            (self._cancel, 0.5),
            (self._jump, 0.5),
            (self._outage, 0.5),
            (self._back, 2),
            (self._throttle, 0.5),
            (self._poison, 1),
            (self._replay, 1),
            (self._wrong_clock, 0.5),
            (self._wait, 8),
        )
        weights = [
            weight * 10 if step.__name__ == f"_{self.often}" else weight for step, weight in steps
        ]
        (step,) = self.rng.choices([step for step, _ in steps], weights)
        step()

    def _some_task(self) -> SimTask:
        names = [
            t
            for t in self.host.azure.tasks.values()
            if t.exists and t.id.name not in ("chained", "left", "right")
        ]
        return self.rng.choice(names)

    def _push(self) -> None:
        self.host.azure.push(self.rng.choice(TAGS))

    def _edit(self) -> None:
        task = self._some_task()
        bases = self._bases()
        self.note(f"edit {task.id.name}: {bases}")
        self.host.azure.edit(task, bases)

    def _switch(self) -> None:
        task = self._some_task()
        task.enabled = not task.enabled
        self.note(f"{task.id.name} enabled: {task.enabled}")
        self.host.azure.on_task(task)

    def _delete_or_create(self) -> None:
        task = self._some_task()
        self.note(f"delete {task.id.name}")
        task.exists = False
        self.host.azure.on_task(task)
        self._create(f"n{len(self.host.azure.tasks)}", task.id.registry)

    def _cancel(self) -> None:
        for run in self.host.azure.runs.values():
            if run.finished is None and run.by == "product":
                self.note(f"cancel {run.run_id}")
                run.ends = RunStatus.CANCELED
                return

    def _jump(self) -> None:
        self.note("the clock jumps")
        self.host.azure.now += timedelta(minutes=self.rng.uniform(5, 90))
        self.host.azure.jumped_at = self.host.azure.now

    def _outage(self) -> None:
        service = self.rng.choice(["storage", "arm", "registry"])
        span = seconds(60 if service == "storage" else 600)
        self.note(f"{service} cannot be reached for {span}")
        self.host.weather.down[service] = self.host.azure.now + span

    def _back(self) -> None:
        tag = self.rng.choice(TAGS)
        # A foreign registry is looked at every half hour: what was there and gone by then, nobody
        # can know.
        foreign = is_foreign(tag)
        least, most = (2400, 4800) if foreign else (20, 600)
        self.host.azure.goes_back(tag, seconds(self.rng.uniform(least, most)))

    def _throttle(self) -> None:
        span = seconds(self.rng.uniform(20, 300))
        self.note(f"ARM takes no run for {span}")
        self.host.weather.throttled = self.host.azure.now + span

    def _poison(self) -> None:
        self.host.poison()

    def _replay(self) -> None:
        self.host.replay()

    def _wrong_clock(self) -> None:
        if not self._clocks_jump:
            return
        instance, jump = self.rng.randrange(2), timedelta(days=self.rng.choice([-3, 1, 5]))
        self.note(f"the clock of instance {instance} jumps by {jump}")
        skews = self.host.weather.skews
        skews[instance] = jump

        def right() -> None:
            self.note(f"the clock of instance {instance} is right")
            skews.pop(instance, None)

        until = self.host.azure.now + seconds(self.rng.uniform(30, 3600))
        self.host.azure.at(until, right)

    def _wait(self) -> None:
        self.host.advance(seconds(self.rng.uniform(0, 120)))

    # Rest

    def _rest(self) -> None:
        self.note("calm")
        self.host.weather.calm()
        self.host.azure.build_fails = 0.0
        self.host.azure.lags = 0.0
        self.host.azure.slow = 0.0
        self.host.azure.native_misses = 1.0
        self.host.azure.calm = True
        for task in self.host.azure.tasks.values():
            # What is to be up to date must be enabled.
            if task.exists and not task.enabled and self.rng.random() < 0.5:
                task.enabled = True
        for hour in range(self.most_hours):
            self.host.advance(timedelta(hours=1))
            self._each_hour()
            if hour >= _QUIET_HOURS and not self._unrest():
                break

    def _each_hour(self) -> None:
        self.host.replay()

    def _held(self, task: SimTask) -> str:
        """Return why operators hold a task for good; "" if they do not."""
        del task
        return ""

    def _attempts(self, task: SimTask) -> int:
        """Return how often a build of a task is tried at least."""
        del task
        return _ATTEMPTS

    def _waits_for_good(self, rebuild: Rebuild) -> bool:
        gate = rebuild.state is State.HELD and rebuild.hold is Hold.GATE
        return gate and bool(self._held(self.host.azure.tasks[rebuild.task]))

    def _unrest(self) -> list[str]:
        found = [f"{self.host.waiting()} messages wait"] if self.host.waiting() else []
        context = self.host.context(plain=True)
        found += [
            f"unsettled: {r.id} of {r.task.name}: {r.state}"
            for r in context.ledger.unsettled()
            if not self._waits_for_good(r)
        ]
        found += [
            f"run {r.run_id} goes on" for r in self.host.azure.runs.values() if not r.finished
        ]
        return found

    def _judge(self) -> None:
        problems = self.outcome.problems
        problems += [f"unrest: {text}" for text in self._unrest()]
        problems += [f"doubled: {text}" for text in self.host.azure.doubled]
        problems += [f"surprise: {text}" for text in self.host.surprises]
        ledger = self.host.context(plain=True).ledger
        for task in self.host.azure.tasks.values():
            rebuilds = ledger.rebuilds(task.id, _ALL)
            self._limits(task)
            if not (task.exists and task.enabled):
                continue
            built = task.built()
            pulled = built.pulled if built else {}
            stale = {
                base
                for base, digest in self.host.azure.names_now(task).items()
                if pulled.get(base) != digest
            }
            if task.id.name in ("left", "right"):
                stale -= {b for b in stale if "/apps/" in b}  # a cycle is cut somewhere
            stale = {base for base in stale if not self._given_up(task, rebuilds, base)}
            stale = {base for base in stale if not self._unseen(built, base)}
            if stale and not self._held(task):
                problems.append(f"stale: {task.id.name} on {sorted(stale)}")
        problems += self._audit()

    def _given_up(self, task: SimTask, rebuilds: list[Rebuild], base: str) -> bool:
        """Whether the runs of a task on what a base names now have failed often enough."""
        on = f"{base}@{self.host.azure.names_now(task)[base]}"
        newest = next((rebuild for rebuild in rebuilds if on in rebuild.bases), None)
        if newest is None or newest.state is not State.GIVEN_UP:
            return False
        same = {rebuild.run_id for rebuild in rebuilds if rebuild.key == newest.key}
        tried = series([run for run in task.runs if run.run_id in same])[-1]
        hopeless = any(run.status is RunStatus.CANCELED for run in tried)
        return hopeless or len(tried) >= self._attempts(task)

    def _unseen(self, built: SimRun | None, base: str) -> bool:
        """Whether a foreign tag moved while a run of others went on, unseen by any poll.

        Nobody read it until then. What the run left as record is what the tag names now.
        """
        if built is None or not (built.unsure and built.by != "product" and is_foreign(base)):
            return False
        of = ImageReference.parse(f"{base}@{self.host.azure.tags[base]}")
        push = Push(ForeignRegistry(of.domain), of.path, of.tag or "", of.digest or "", None, "")
        return self.host.context(plain=True).ledger.push(push.key) is None

    def _limits(self, task: SimTask) -> None:
        """No digests are tried more often than is set."""
        tried: dict[str, list[SimRun]] = {}
        for run in task.runs:
            if run.by == "product":
                tried.setdefault(self._tried_on(run), []).append(run)
        for key, runs in tried.items():
            found = series(runs)
            if any(len(one) > _ATTEMPTS for one in found) or len(found) > 1 + _REPAIRS:
                self.outcome.problems.append(f"loop: {task.id.name} ran {len(runs)} times on {key}")

    def _tried_on(self, run: SimRun) -> str:
        """Return what a run is a try of: the digests that it was asked for on, and since when.

        An edit makes other tags count, so the digests are others. A tag that came back is built on
        again. What a tag moved to while a run was being asked for counts for the next try.
        """
        asked = {
            name: digest
            for name, _, digest in (
                image.partition("@") for image in self.host.azure.asked_for(run.task, run.run_id)
            )
        }
        on = {name: asked.get(name, digest) for name, digest in run.wanted.items()}
        since = {
            name: number
            for name, number in run.occasion.items()
            if on.get(name) == run.wanted.get(name)
        }
        return f"{sorted(on.items())} {sorted(since.items())}"

    def _audit(self) -> list[str]:
        """What the product's own audit says of the whole time."""
        azure = self.host.azure
        found = audit(self.host.context(plain=True), START, azure.now, ask_arm=False)
        bad = {Verdict.LOST, Verdict.DOUBLED}
        return [
            f"audit: {f.verdict} {f}"
            for f in found.findings
            if f.verdict in bad
            # What a tag came back to is built on again; the audit takes that for the same.
            and not (f.verdict is Verdict.DOUBLED and f.rebuild and self._back_on(f.rebuild))
        ]

    def _back_on(self, rebuild: Rebuild) -> bool:
        return not self.host.azure.came_back.isdisjoint(rebuild.bases)


def series(runs: list[SimRun]) -> list[list[SimRun]]:
    """Return runs on the same digests, oldest first, by what each was for.

    One that succeeded and pulled its base from a copy that is behind did not fail: it is repaired,
    so many times, and each repair is tried as often as any rebuild.
    """
    found: list[list[SimRun]] = [[]]
    for number, run in enumerate(runs, 1):
        found[-1].append(run)
        if run.lagged and run.status is RunStatus.SUCCEEDED and number < len(runs):
            found.append([])
    return found
