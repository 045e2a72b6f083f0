"""Rounds in which operators steer, by policy files and by acts; and what must hold then.

Each run is judged as ARM is asked for it, and what is stale at rest is, by what operators decided;
see judge. They pause and resume, apply other policy files in the middle, agree and reject, release
what a canary has quarantined; at the end they see to everything, or go home.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.policies.acts import Act, Scope, Target, What
from rebuilder.core.rebuilds.messages import ACTS, BUILDS, OperatorAct
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.sqlite.steering import FileSteering
from rebuilder.usecases.steering.acts import ask, history
from rebuilder.usecases.steering.policy_file import apply_policy
from rebuilder.usecases.steering.votes import to_be_approved
from tests.soak.azure import APPS, OTHERS, START, SimRun, SimTask
from tests.soak.decided import Decided, of_chance
from tests.soak.host import STEERED, Host
from tests.soak.judge import Judge, Voted
from tests.soak.rounds import TAGS, Round

PEOPLE = ("ann", "bob", "cid")
_SEEN = 50
"""So far back it is looked what came of an act."""


class SteeredHost(Host):
    """A host whose operators decide.

    Attributes:
        judge: What they decided.
    """

    def __init__(self, folder: Path, rng: random.Random, note: Callable[[str], None]) -> None:
        super().__init__(folder, rng, note)
        self.stores["steering"] = FileSteering(self.file)
        self.served |= STEERED
        self.judge = Judge(self.azure)
        self.azure.on_start = self._judge_start
        self.azure.on_task = self._touched
        self._resumed: dict[Target, datetime] = {}
        self._asked: dict[str, Voted] = {}

    def decide(self, decided: Decided) -> None:
        """Apply a policy file."""
        self.note(f"policies: {decided.values}")
        context = self.context(plain=True)
        apply_policy(context, decided.text, file="p.yaml", who="ann", because="soak")
        self.judge.decide(decided)

    def act(self, what: What, target: Target) -> None:
        """Ask for a pause, or for its end."""
        self.note(f"{what} {target}")
        if what is What.RESUME:
            # From now on nothing is said of it; a pause that was asked for before comes to nothing.
            self.judge.since.pop(target, None)
            self._resumed[target] = self.azure.now
        ask(self.context(plain=True), what, target, who="ann", because="soak")

    def release(self, image: str) -> None:
        """Ask for an image to be built on again."""
        self.note(f"release {image[:-50]}")
        self.judge.quarantined.pop(image, None)
        self.judge.released.add(image)
        target = Target(Scope.DIGEST, image)
        ask(self.context(plain=True), What.RELEASE, target, who="ann", because="soak")

    def waiting_for_votes(self) -> list[Rebuild]:
        """Return what people see that is to be approved."""
        return to_be_approved(self.context(plain=True), [Target()])

    def vote(self, what: What, rebuild: Rebuild, who: str) -> None:
        """Approve or reject a rebuild, as somebody who sees what it is to be built on."""
        self.note(f"{who}: {what} {rebuild.task.name} on {[b[-70:-50] for b in rebuild.bases]}")
        voted = Voted(who, self.azure.now, rebuild.task, rebuild.bases)
        (self.judge.votes if what is What.APPROVE else self.judge.against).append(voted)
        context = self.context(plain=True)
        act = ask(context, what, Target(), who=who, because="soak", of=(rebuild.id,))
        self._asked[act.id] = voted

    def waiting(self) -> int:
        """Return how many messages are in the queues, but for those that wait for a window.

        What they are for is unsettled, which is looked at by itself, or was settled meanwhile.
        """
        look = "SELECT count(*) FROM messages WHERE NOT (queue = ? AND visible_at > ?)"
        values = (BUILDS, self.azure.now.timestamp())
        return int(self._db.execute(look, values).fetchone()[0])

    def _carried_out(self, queue: str, body: str) -> None:
        if queue == ACTS:
            self._heard(OperatorAct.decode(body).act)

    def _heard(self, act: Act) -> None:
        judge, now, came = self.judge, self.azure.now, self._came(act)
        if not came:
            return  # it was put back, and is carried out later
        if act.what is What.PAUSE and act.at > self._resumed.get(act.target, START):
            judge.since[act.target] = now
        if act.what is What.QUARANTINE and act.target.pattern not in judge.released:
            self.note(f"quarantined: {act.target.pattern[:-50]}: {act.because}")
            judge.quarantined.setdefault(act.target.pattern, now)
        if act.what is What.REJECT and came.startswith("1 rebuild"):
            voted = self._asked[act.id]
            judge.binding.append(Voted(voted.who, now, voted.task, voted.bases))

    def _came(self, act: Act) -> str:
        """Return what whoever asked for something is told came of it."""
        found = history(self.context(plain=True), _SEEN)
        return next((known.came for known in found if known.id == act.id), "")

    def _touched(self, task: SimTask) -> None:
        self.judge.touched[task.id] = self.azure.now
        self.grid.changed(task)

    def _judge_start(self, task: SimTask, run: SimRun) -> None:
        for why in self.judge.starts(task, run):
            text = f"run {run.run_id} of {run.task.name} was started although {why}"
            self.note(f"STEERED {text}")
            self.surprises.append(text)


class SteeredRound(Round):
    """A round whose operators decide."""

    host: SteeredHost
    # A window opens once a day, and each of five layers may come too late for it.
    most_hours = 16 + 5 * 24

    def _make_host(self, folder: Path) -> SteeredHost:
        return SteeredHost(folder, self.rng, self.note)

    def _create_more(self) -> None:
        """Create a diamond of four, and one that stands on the last of them and on the first's."""
        base, pushed = TAGS[0], "myapps.azurecr.io/apps/{}:latest".format
        for name, bases in {
            "root": (base,),
            "one": (pushed("root"),),
            "other": (pushed("root"), TAGS[2]),
            "tip": (pushed("one"), pushed("other")),
            "over": (pushed("tip"), base),
        }.items():
            self.host.azure.add(SimTask(TaskId(APPS, name), bases, native=False))

    def _some_task(self) -> SimTask:
        while (task := super()._some_task()).id.name in ("one", "other", "tip", "over"):
            pass
        return task

    def _begin(self) -> None:
        super()._begin()
        # What a pause and a window mean to a clock that is days wrong is another story.
        self._clocks_jump = False
        self._paused: list[Target] = []
        self._stays = self.rng.random() < 0.5
        self.host.azure.build_fails = self.rng.choice([0.1, 0.3, 0.5])
        self._apply()

    def _step(self) -> None:
        ways = (
            (self._pause, 5),
            (self._resume, 8 if self._paused else 0),
            (self._apply, 3),
            (self._agree, 12),
            (self._reject, 2),
            (self._release, 3),
            (super()._step, 67),
        )
        (way,) = self.rng.choices([way for way, _ in ways], [weight for _, weight in ways])
        way()

    def _apply(self) -> None:
        tasks = sorted(task.id for task in self.host.azure.tasks.values() if task.exists)
        self.host.decide(of_chance(self.rng, self.host.azure.now, tasks))

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

    def _agree(self) -> None:
        for rebuild in self.host.waiting_for_votes():
            if self.rng.random() < 0.5:
                self.host.vote(What.APPROVE, rebuild, self.rng.choice(PEOPLE))

    def _reject(self) -> None:
        if waiting := self.host.waiting_for_votes():
            self.host.vote(What.REJECT, self.rng.choice(waiting), self.rng.choice(PEOPLE))

    def _release(self) -> None:
        if quarantined := sorted(self.host.judge.quarantined):
            self.host.release(self.rng.choice(quarantined))

    # Rest

    def _rest(self) -> None:
        self.note("operators stay" if self._stays else "operators go home")
        for task in self.host.azure.tasks.values():
            if not task.enabled:  # it may be enabled now
                self.host.judge.touched[task.id] = self.host.azure.now
        while self._stays and self._paused:
            self._resume()
        super()._rest()

    def _each_hour(self) -> None:
        super()._each_hour()
        if not self._stays:
            return
        while self.host.judge.quarantined:
            self._release()
        for rebuild in self.host.waiting_for_votes():
            for who in PEOPLE[:2]:
                self.host.vote(What.APPROVE, rebuild, who)

    def _held(self, task: SimTask) -> str:
        return self.host.judge.reason(task)

    def _attempts(self, task: SimTask) -> int:
        return self.host.judge.least(task.id)
