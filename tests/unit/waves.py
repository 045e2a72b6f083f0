"""A world in which waves go through tasks: messages are delivered, and runs end when told to."""

from __future__ import annotations

from collections.abc import Callable
from copy import replace
from datetime import timedelta

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Run, RunStatus
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.wave_holds import WaitsForUpstream
from rebuilder.core.rebuilds.messages import BUILDS, RUNS, PlanRebuilds, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.settings import Settings
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from tests.unit.fakes import APPS, BASE, NEW, NODE, OLD, World, dependency, task

NODES = {"node": NODE, "go": "mybase.azurecr.io/images/go:1"}
ROOT = Push(BASE, "images/node", "9", NEW, None, "e")


def image(name: str) -> str:
    """Return what a task pushes."""
    return f"myapps.azurecr.io/{name}:1"


def tid(name: str) -> TaskId:
    """Return a task."""
    return TaskId(APPS, name)


class Wave:
    """A world in which messages are delivered, and runs end when they are told to."""

    def __init__(self, world: World, **reads: str) -> None:
        self.world = world
        settings = Settings(frozenset({BASE, APPS}), (APPS,), "sqlite:unused", build_attempts=1)
        world.context = replace(world.context, settings=settings)
        self.reads = {name: reads_of.split() for name, reads_of in reads.items()}
        self.built_on: dict[str, str] = {NODE: OLD}
        for name in reads:
            self.world.images.digests[image(name)] = OLD
        for name in reads:
            self.record(name, {})
        scan_registry(world.context, APPS)
        self.ended: list[str] = []
        self.serial = 0

    def record(self, name: str, on: dict[str, str]) -> None:
        """Have a task be recorded as built on digests."""
        found = [
            dependency(other, on.get(other, OLD))
            for other in (NODES.get(one, image(one)) for one in self.reads[name])
        ]
        self.world.tasks.add(task(name, *found))

    def scan(self) -> None:
        """Have the tasks read for the index."""
        self.world.time.pass_(1)
        scan_registry(self.world.context, APPS)

    def push(self, reference: str, digest: str) -> None:
        """Push an image, and have it planned."""
        wanted = ImageReference.parse(reference)
        registry = APPS if reference.startswith("myapps") else BASE
        self.world.images.digests[reference] = digest
        told = Push(registry, wanted.path, str(wanted.tag), digest, self.world.time.now, "e")
        self.world.ledger.record_events([told], self.world.time.now)
        plan_rebuilds(self.world.context, PlanRebuilds(told))

    def deliver(self, *, reverse: bool = False) -> None:
        """Deliver what is due to be built, until nothing is."""
        later = []
        while messages := self.world.queue.take(BUILDS):
            for body, delay in messages[::-1] if reverse else messages:
                if delay > timedelta():
                    later.append((BUILDS, body, delay))
                    continue
                self.serial += 1
                start_build(self.world.context, StartBuild.decode(body), f"me{self.serial}")
        self.world.queue.sent += later

    def later(self) -> bool:
        """Let the time come for the next message that waits; tell whether there is one."""
        delays = [delay for queue, _, delay in self.world.queue.sent if queue == BUILDS]
        if not delays:
            return False
        soon = min(delays)
        self.world.time.now += soon
        self.world.queue.sent = [
            (queue, body, max(delay - soon, timedelta()))
            for queue, body, delay in self.world.queue.sent
        ]
        self.deliver()
        return True

    def head(self, name: str) -> Rebuild | None:
        """Return the newest rebuild of a task."""
        return self.world.ledger.head(tid(name))

    def waits_for(self, name: str) -> list[str]:
        """Return what a task waits for."""
        head = self.head(name)
        if head is None or head.state is not State.HELD or head.held is None:
            return []
        return [
            awaited.task.rpartition("/")[2]
            for reason in head.held.reasons
            if isinstance(reason, WaitsForUpstream)
            for awaited in reason.tasks
        ]

    def running(self) -> list[str]:
        """Return the tasks that run."""
        heads = {name: self.head(name) for name in self.reads}
        return sorted(name for name, h in heads.items() if h and h.state.in_flight)

    def end(
        self,
        name: str,
        *,
        fails: bool = False,
        told: bool = True,
        context: Context | None = None,
    ) -> None:
        """Let the run of a task end, push, be planned and be tracked; then deliver."""
        head = self.head(name)
        assert head is not None
        assert head.state.in_flight, (name, head.state, head.outcome)
        self.ended.append(name)
        digest = f"sha256:{len(self.ended):064x}"
        run_id = str(head.run_id)
        known: Run = self.world.tasks.found_runs[run_id]
        now = self.world.time.now
        done = replace(
            known,
            task=name,
            status=RunStatus.FAILED if fails else RunStatus.SUCCEEDED,
            created=now,
            started=now,
            finished=now,
            output_images=() if fails else (f"{image(name)}@{digest}",),
        )
        if not fails:
            self.record(name, {b.partition("@")[0]: b.partition("@")[2] for b in head.bases})
            self.world.images.digests[image(name)] = digest
            if told:
                self.push(image(name), digest)
                self.deliver()
        self.world.tasks.found_runs[run_id] = done
        self.world.queue.take(RUNS)
        message = TrackBuild(tid(name), head.sequence, head.version)
        track_build(context or self.world.context, message)
        self.deliver()

    def all(self, *failing: str, first: Callable[[list[str]], str] = min) -> list[str]:
        """Let run after run end until none is left; return the order."""
        for _ in range(200):
            if not (self.running() or self.later()):
                return self.ended
            if running := self.running():
                one = first(running)
                self.end(one, fails=one in failing)
        raise AssertionError(f"it never ends: {self.ended}")
