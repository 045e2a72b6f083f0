"""Azure as it is seen from outside: registries, tasks, runs and ACR's own trigger, in memory.

Written from Azure's documentation and the issue, not from the product: what the oracle calls the
truth is kept here.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import random
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import RunStatus

BASE = RegistryId("s1", "g", "mybase")
APPS = RegistryId("s1", "g", "myapps")
OTHERS = RegistryId("s2", "g", "theirapps")
HOSTS = {f"{registry.name}.azurecr.io": registry for registry in (BASE, APPS, OTHERS)}
START = datetime(2026, 3, 1, tzinfo=UTC)
NATIVE_IN_TIME = timedelta(seconds=90)
"""ACR's own run comes so long after a push, at most, if it comes in time."""
LAG = timedelta(minutes=5)
"""So long a copy of a registry is behind, at most."""


def is_foreign(reference: str) -> bool:
    """Whether an image is in no registry of Azure's, which tells of its pushes."""
    return ImageReference.parse(reference).domain not in HOSTS


def seconds(number: float) -> timedelta:
    """Return a time span."""
    return timedelta(seconds=number)


@dataclass
class SimRun:
    """A run, and what it truly pulled."""

    run_id: str
    task: TaskId
    by: str  # product, native, commit
    created: datetime
    token: str | None = None
    moved: str | None = None
    in_time: bool = True
    wanted: dict[str, str | None] = field(default_factory=dict)  # what the tags named at creation
    # How often each tag had moved by then, of those it uses and those it is known to use.
    occasion: dict[str, int] = field(default_factory=dict)
    lagged: bool = False
    unsure: bool = False  # a tag moved while it was under way
    chain: tuple[TaskId, ...] = ()  # whose outputs led to it, if nothing else did
    pulled: dict[str, str | None] = field(default_factory=dict)
    status: RunStatus = RunStatus.QUEUED
    ends: RunStatus = RunStatus.SUCCEEDED
    lasts: timedelta | None = None
    started: datetime | None = None
    finished: datetime | None = None
    output: str = ""


@dataclass
class SimTask:
    """A task; `bases` is what its Dockerfile names, `record` what ACR has recorded."""

    id: TaskId
    bases: tuple[str, ...]
    native: bool
    enabled: bool = True
    exists: bool = True
    record: dict[str, str | None] = field(default_factory=dict)
    runs: list[SimRun] = field(default_factory=list)
    edited: datetime = START
    scheduling_refused: bool = False
    triggers: bool = True  # whether others than the product start it

    @property
    def output(self) -> str:
        """What it pushes."""
        return f"{self.id.registry.name}.azurecr.io/apps/{self.id.name}:latest"

    def built(self) -> SimRun | None:
        """The run that its image comes from."""
        done = [run for run in self.runs if run.status is RunStatus.SUCCEEDED]
        return max(done, key=lambda run: (run.finished or START, run.run_id), default=None)


class Azure:
    """The clock, what is to come, and the truth."""

    def __init__(self, rng: random.Random, note: Callable[[str], None]) -> None:
        self.rng = rng
        self.note = note
        self.now = START
        self.tags: dict[str, str] = {}
        self.came: dict[tuple[str, str], datetime] = {}
        self.before: dict[str, str] = {}
        self.written: dict[str, datetime] = {}
        self.moves: dict[str, int] = {}
        self.came_back: set[str] = set()
        self.tasks: dict[TaskId, SimTask] = {}
        self.runs: dict[tuple[RegistryId, str], SimRun] = {}
        self.makers: dict[str, SimRun] = {}
        self.pushed: list[tuple[datetime, str, str]] = []
        self.on_push: Callable[[str, str], None] = lambda _reference, _digest: None
        self.on_task: Callable[[SimTask], None] = lambda _task: None
        self.doubled: list[str] = []
        self.caller_was_stopped: Callable[[], bool] = lambda: False
        self.caller_began: Callable[[], datetime] = lambda: self.now
        self.asked_for: Callable[[TaskId, str], AbstractSet[str]] = lambda _task, _run: frozenset()
        self.believed: Callable[[TaskId], AbstractSet[str]] = lambda _task: frozenset()
        self.on_start: Callable[[SimTask, SimRun], None] = lambda _task, _run: None
        self.calm = False
        self.jumped_at = START
        self.shows_tokens = True
        self.lags = 0.0
        self.lasts = (5.0, 300.0)  # how many seconds a build takes
        self.listed = 0
        self.native_misses = 0.3
        self.build_fails = 0.0
        self.slow = 0.05
        self._count = itertools.count(1)
        self._coming: list[tuple[datetime, int, Callable[[], None]]] = []

    # Time

    def at(self, when: datetime, work: Callable[[], None]) -> None:
        """Have something happen."""
        heapq.heappush(self._coming, (when, next(self._count), work))

    def next(self) -> datetime | None:
        """Return when the next thing happens."""
        return self._coming[0][0] if self._coming else None

    def happen(self) -> None:
        """Let the next thing happen."""
        when, _, work = heapq.heappop(self._coming)
        self.now = max(self.now, when)
        work()

    # Registries

    def push(self, reference: str, told: float = 1.0) -> str:
        """Push a new image; `told` is how surely Event Grid tells of it."""
        digest = f"sha256:{hashlib.sha256(f'{reference}{next(self._count)}'.encode()).hexdigest()}"
        self.move(reference, digest, told)
        return digest

    def move(self, reference: str, digest: str, told: float = 1.0) -> None:
        """Have a tag name an image, be it one that it named before."""
        # After whatever began by now and reads the one before: of one instant nobody could tell.
        self.now += timedelta(microseconds=1)
        if reference in self.tags:
            self.before[reference] = self.tags[reference]
        self.tags[reference] = digest
        self.written[reference] = self.now
        self.moves[reference] = self.moves.get(reference, 0) + 1
        repository = ImageReference.parse(reference).repository
        self.came.setdefault((repository, digest), self.now)
        self.pushed.append((self.now, reference, digest))
        self.note(f"push {reference}@{digest[7:15]}")
        if not is_foreign(reference) and self.rng.random() < told:
            self.on_push(reference, digest)
        for task in list(self.tasks.values()):
            if task.native and task.exists and task.enabled and reference in task.record:
                self._native(task, reference, digest)

    def goes_back(self, reference: str, after: timedelta) -> None:
        """Push a new image, and have the tag name the one before again after a while."""
        old = self.tags[reference]
        new = self.push(reference)

        def back() -> None:
            if self.tags[reference] == new:
                self.note(f"{reference} goes back to {old[7:15]}")
                self.came_back.add(f"{reference}@{old}")
                self.move(reference, old)

        self.at(self.now + after, back)

    def _native(self, task: SimTask, reference: str, digest: str) -> None:
        if ImageReference.parse(reference).domain not in HOSTS:
            return  # polled by ACR some time; the product counts on nothing there
        chance = self.rng.random()
        if chance < self.native_misses:
            return
        in_time = chance < 0.9
        wait = self.rng.uniform(1, 90) if in_time else self.rng.uniform(300, 1200)

        def come() -> None:
            if task.exists and task.enabled and task.native:
                self.schedule(task, "native", moved=f"{reference}@{digest}", in_time=in_time)

        self.at(self.now + seconds(wait), come)

    # Tasks

    def names_now(self, task: SimTask) -> dict[str, str | None]:
        """Return what a task's tags name now."""
        return {base: self.tags.get(base) for base in task.bases}

    def add(self, task: SimTask) -> None:
        """Create a task; whoever does that also runs it."""
        self.tasks[task.id] = task
        task.edited = self.now
        self.on_task(task)
        self.at(self.now + seconds(1), lambda: self._commit(task))

    def edit(self, task: SimTask, bases: tuple[str, ...]) -> None:
        """Change a task's Dockerfile; the commit runs it."""
        task.bases = bases
        task.edited = self.now
        self.on_task(task)
        self.at(self.now + seconds(1), lambda: self._commit(task))

    def _commit(self, task: SimTask) -> None:
        if task.exists:
            # Somebody looks after such a run until it has succeeded.
            self.schedule(task, "commit", ends=RunStatus.SUCCEEDED)

    # Runs

    def schedule(
        self,
        task: SimTask,
        by: str,
        *,
        token: str | None = None,
        moved: str | None = None,
        in_time: bool = True,
        ends: RunStatus | None = None,
        lasts: timedelta | None = None,
    ) -> SimRun:
        """Start a run."""
        number = sum(1 for registry, _ in self.runs if registry == task.id.registry)
        run = SimRun(f"ca{number + 1}", task.id, by, self.now, token, moved, in_time)
        run.wanted = self.names_now(task)
        # An edit that nobody has read yet leaves other tags to be believed in.
        tags = {*task.bases, *self.believed(task.id)}
        run.occasion = {base: self.moves.get(base, 0) for base in tags}
        run.lasts = lasts
        run.ends = ends or self._ending(task, run)
        if by == "product":
            self._judge(task, run)
            self._judge_cycle(task, run)
            self.on_start(task, run)
        self.runs[task.id.registry, run.run_id] = run
        task.runs.append(run)
        self.note(f"run {run.run_id} of {task.id.name} by {by} will be {run.ends}")
        queue = self.rng.uniform(60, 4000) if self.rng.random() < self.slow else 5.0
        self.at(self.now + seconds(queue), lambda: self._start(task, run))
        return run

    def _ending(self, task: SimTask, run: SimRun) -> RunStatus:
        chance = self.rng.random()
        if chance < self.build_fails:
            ways = (RunStatus.FAILED, RunStatus.ERROR, RunStatus.TIMEOUT, RunStatus.CANCELED)
            return self.rng.choices(ways, (5, 3, 2, 1))[0]
        # Some digests break some tasks for good.
        broken = hashlib.sha256(f"{task.id}{sorted(run.wanted.items())}".encode()).digest()[0]
        return RunStatus.FAILED if broken < self.build_fails * 128 else RunStatus.SUCCEEDED

    def _start(self, task: SimTask, run: SimRun) -> None:
        run.status, run.started = RunStatus.RUNNING, self.now
        run.pulled = self.names_now(task)
        self._lag(task, run)
        lasts = seconds(self.rng.uniform(*self.lasts)) if run.lasts is None else run.lasts
        self.at(self.now + lasts, lambda: self._end(task, run))

    def _lag(self, task: SimTask, run: SimRun) -> None:
        """Have the registry's copy that a run pulls its base from be behind, if it just moved.

        Only of the image's own base: what is read at build time leaves no trace in the image.
        """
        base = task.bases[0]
        fresh = self.now - self.written.get(base, START) < LAG
        in_azure = not is_foreign(base)
        lags = self.lags and run.by == "product" and base in self.before
        if lags and in_azure and fresh and self.rng.random() < self.lags:
            run.pulled[base], run.lagged = self.before[base], True
            self.note(f"run {run.run_id} pulls {base} from a copy that is behind")

    def _end(self, task: SimTask, run: SimRun) -> None:
        run.status, run.finished = run.ends, self.now
        began = run.started or self.now
        run.unsure = any(self.written.get(base, START) >= began for base in run.pulled)
        self.note(f"run {run.run_id} of {task.id.name}: {run.status}")
        if run.status is RunStatus.SUCCEEDED and task.exists:
            # BuildKit runs record what the tags name at their end, not what they pulled.
            task.record = {base: self.tags.get(base) for base in run.pulled}
            run.output = f"{task.output}@{self.push(task.output)}"
            self.makers[run.output] = run

    def _judge(self, task: SimTask, run: SimRun) -> None:
        """Hold a run of the product's against the promise; the issue's text, and no code, says it.

        One run in flight per task, never beside ACR's own run for the same push if that came in
        time, and none if the image already is built on what every tag names.
        """
        flying = [r for r in task.runs if r.finished is None]
        ours = [r for r in flying if r.by == "product"]
        native = [
            r
            for r in flying
            if r.by == "native"
            and r.in_time
            and r.moved is not None
            and self._current(r.moved)
            and self._names_only(task, r.moved)
        ]
        if self.caller_was_stopped():
            native = []  # it decided before ACR's own run could be seen
        built = task.built()
        named = set(task.bases) | set(task.record)
        settled = (
            built is not None
            and built.pulled == {name: self.tags.get(name) for name in named}
            and self._known_to_pull(task, built)
            # Whoever began before a tag came back has read what it named until then.
            and all(self.written.get(name, START) < self.caller_began() for name in named)
            # In bad weather an edit may not be read yet: the build is needless, not wrong.
            and (self.calm or self.believed(task.id) <= named)
        )
        for found, why in ((ours, "beside"), (native, "beside ACR's own"), (settled, "on top of")):
            if found:
                other = found[0].run_id if isinstance(found, list) else built and built.run_id
                message = f"{task.id.name}: run {run.run_id} was started {why} {other}"
                self.note(f"DOUBLED {message}")
                self.doubled.append(message)
                return

    def _judge_cycle(self, task: SimTask, run: SimRun) -> None:
        """Hold a run against what led to it: a cycle is not gone through for ever.

        If all that its image lacks is what a run of the product's has pushed, that run led to it.
        An event may be quicker than what the ledger knows of the run that pushed, which begins the
        cycle anew: once, and not twice.
        """
        built = task.built()
        lacking = [n for n, d in run.wanted.items() if built is None or built.pulled.get(n) != d]
        makers = [self.makers.get(f"{name}@{run.wanted[name]}") for name in lacking]
        if not makers or any(maker is None or maker.by != "product" for maker in makers):
            return
        found = [(*maker.chain, maker.task) for maker in makers if maker is not None]
        run.chain = min(found, key=len)
        if all(chain.count(task.id) > 1 for chain in found):
            others = len(run.chain)
            message = f"{task.id.name}: run {run.run_id} goes round again after {others} others"
            self.note(f"DOUBLED {message}")
            self.doubled.append(message)

    def _known_to_pull(self, task: SimTask, built: SimRun) -> bool:
        """Tell whether anybody but us can know what a run has pulled.

        Foreign registries do not tell since when a tag names a digest: a run that was asked for on
        the digest before, and began before the poll saw the tag move, is no effect on the new one.
        """
        foreign = {f"{n}@{d}" for n, d in built.pulled.items() if is_foreign(n)}
        if built.lagged or built.unsure:
            return False  # by chance it is on what its tag names: that one went away and came back
        if built.by == "product":
            return foreign <= self.asked_for(task.id, built.run_id)
        # Nobody could look while the clock jumped.
        since = max(built.finished or START, self.jumped_at)
        return not foreign and self.now - since > seconds(600)

    def _current(self, image: str) -> bool:
        reference, _, digest = image.partition("@")
        return self.tags.get(reference) == digest

    def _names_only(self, task: SimTask, moved: str) -> bool:
        """Whether all that the last image of a task lacks is what its own trigger fired for."""
        built = task.built()
        named = set(task.bases) | set(task.record)
        lacking = {n for n in named if built is None or built.pulled.get(n) != self.tags.get(n)}
        return lacking <= {moved.partition("@")[0]}
