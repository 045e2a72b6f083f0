"""Rounds in which operators steer: limits, windows, cooldowns, pauses; and what must hold then.

The judge looks at each run as ARM is asked for it: never more under way than a limit says, none in
the scope of a pause, none outside a window. It knows what was decided from whoever decided it, and
not from the product.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.policies.acts import Scope, Target, What
from rebuilder.core.rebuilds.messages import ACTS, BUILDS, OperatorAct
from rebuilder.sqlite.steering import FileSteering
from rebuilder.usecases.steering.acts import ask
from rebuilder.usecases.steering.policy_file import apply_policy
from tests.soak.azure import APPS, OTHERS, START, SimRun, SimTask
from tests.soak.host import STEERED, Host
from tests.soak.rounds import Round

_FRESH = timedelta(seconds=35)
"""So long an instance believes what it read of operators, and its clock may be behind."""


_AHEAD = timedelta(seconds=2)
"""So far ahead a clock that is right may be."""


class SteeredHost(Host):
    """A host whose operators decide.

    Attributes:
        most: How many runs may be under way, in all and in registries.
        opens: From which hour to which the tasks of OTHERS may be built; None for always.
        since: The pauses that are in force, by what is paused, and since when that is recorded.
    """

    def __init__(self, folder: Path, rng: random.Random, note: Callable[[str], None]) -> None:
        super().__init__(folder, rng, note)
        self.stores["steering"] = FileSteering(self.file)
        self.served |= STEERED
        self.azure.on_start = self._judge_start
        self.most: dict[str, int] = {}
        self.opens: tuple[int, int] | None = None
        self.since: dict[Target, datetime] = {}
        self._resumed: dict[Target, datetime] = {}
        self._decided = START

    def decide(self) -> None:
        """Apply a policy file."""
        rng = self.rng
        self.most = {"": rng.randint(1, 4), APPS.name: rng.randint(1, 3)}
        cooldown = rng.choice([0, 0, 5, 20])
        lines = [
            "version: 1",
            "policies:",
            f"  default: {{maxConcurrent: {self.most['']}, cooldown: {cooldown}m, maxWait: 90m}}",
        ]
        begins = rng.randrange(1, 5)
        if rng.random() < 0.5:
            self.opens = begins, begins + 2
            window = f'{{from: "0{begins}:00", to: "0{begins + 2}:00", timezone: UTC}}'
            lines += [
                f"  nights: {{windows: [{window}]}}",
                "rules:",
                f"  - {{match: {{registry: {OTHERS.name}}}, policy: nights}}",
            ]
        lines += [f"limits: {{registries: {{{APPS.name}: {self.most[APPS.name]}}}}}"]
        text = "\n".join(lines) + "\n"
        self.note(f"policies: {lines[2:]}")
        self._decided = self.azure.now
        apply_policy(self.context(plain=True), text, file="p.yaml", who="ann", because="soak")

    def act(self, what: What, target: Target) -> None:
        """Ask for a pause, or for its end."""
        self.note(f"{what} {target}")
        if what is What.RESUME:
            # From now on nothing is said of it; a pause that was asked for before comes to nothing.
            self.since.pop(target, None)
            self._resumed[target] = self.azure.now
        ask(self.context(plain=True), what, target, who="ann", because="soak")

    def waiting(self) -> int:
        """Return how many messages are in the queues, but for those that wait for a window.

        What they are for is unsettled, which is looked at by itself, or was settled meanwhile.
        """
        look = "SELECT count(*) FROM messages WHERE NOT (queue = ? AND visible_at > ?)"
        values = (BUILDS, self.azure.now.timestamp())
        return int(self._db.execute(look, values).fetchone()[0])

    def _carried_out(self, queue: str, body: str) -> None:
        if queue == ACTS:
            act = OperatorAct.decode(body).act
            if act.what is What.PAUSE and act.at > self._resumed.get(act.target, START):
                self.since[act.target] = self.azure.now

    def _judge_start(self, task: SimTask, run: SimRun) -> None:
        azure, began = self.azure, self.azure.caller_began()
        known = self._decided + _FRESH
        if began < known:
            return
        # What began before a limit is none of those that it counts.
        ours = (run for run in azure.runs.values() if run.by == "product" and run.created >= known)
        flying = [run for run in ours if run.finished is None]
        for name, most in self.most.items():
            if name in ("", task.id.registry.name):
                there = [r for r in flying if name in ("", r.task.registry.name)]
                if len(there) >= most:
                    self._wrong(f"{len(there) + 1} are under way in {name or 'all'}: {most}", run)
        for target, since in self.since.items():
            if _covers(target, task.id) and since + _FRESH < began:
                self._wrong(f"{target} is paused since {since:%d %H:%M:%S}", run)
        if self.opens and task.id.registry == OTHERS:
            first, last = self.opens
            if not any(first <= (at + _AHEAD).hour < last for at in (began, azure.now)):
                self._wrong(f"it may be built from {first} to {last}", run)

    def _wrong(self, why: str, run: SimRun) -> None:
        text = f"run {run.run_id} of {run.task.name} was started although {why}"
        self.note(f"STEERED {text}")
        self.surprises.append(text)


def _covers(target: Target, task: TaskId) -> bool:
    if target.scope is Scope.REGISTRY:
        return target.pattern == task.registry.name
    return target.scope is Scope.ALL or target.pattern == f"{task.registry.name}/{task.name}"


class SteeredRound(Round):
    """A round whose operators decide."""

    host: SteeredHost

    def _make_host(self, folder: Path) -> SteeredHost:
        return SteeredHost(folder, self.rng, self.note)

    def _begin(self) -> None:
        super()._begin()
        # What a pause and a window mean to a clock that is days wrong is another story.
        self._clocks_jump = False
        self._paused: list[Target] = []
        self.host.decide()

    def _step(self) -> None:
        if self.rng.random() < 0.06:
            self._pause()
        elif self._paused and self.rng.random() < 0.1:
            self._resume()
        else:
            super()._step()

    def _pause(self) -> None:
        task = self._some_task().id
        target = self.rng.choice(
            [
                Target(),
                Target(Scope.REGISTRY, self.rng.choice([APPS, OTHERS]).name),
                Target(Scope.TASK, f"{task.registry.name}/{task.name}"),
                Target(Scope.TASK, f"{task.registry.name}/{task.name}"),
            ]
        )
        if target not in self._paused:
            self._paused.append(target)
            self.host.act(What.PAUSE, target)

    def _resume(self) -> None:
        target = self._paused.pop(self.rng.randrange(len(self._paused)))
        self.host.act(What.RESUME, target)

    def _rest(self) -> None:
        while self._paused:
            self._resume()
        super()._rest()
