"""Waves: what comes after what, once each, in the flow of rebuilds."""

from __future__ import annotations

from collections.abc import Callable
from copy import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Run, RunStatus
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.wave_holds import WaitsForUpstream
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    RUNS,
    PlanRebuilds,
    StartBuild,
    TrackBuild,
)
from rebuilder.core.rebuilds.rebuild import Hold, Rebuild, State
from rebuilder.core.rebuilds.records import rebuild_from_text, rebuild_to_text
from rebuilder.errors import Denied
from rebuilder.settings import Settings
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.reports.holds import holds
from rebuilder.usecases.waves.upstream import TO_COME
from tests.unit.fakes import APPS, BASE, NEW, NODE, OLD, World, dependency, task

_HALF = 0.5
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
            self._record(name, {})
        scan_registry(world.context, APPS)
        self.ended: list[str] = []
        self.serial = 0

    def _record(self, name: str, on: dict[str, str]) -> None:
        found = [
            dependency(other, on.get(other, OLD))
            for other in (NODES.get(one, image(one)) for one in self.reads[name])
        ]
        self.world.tasks.add(task(name, *found))

    def push(self, reference: str, digest: str) -> None:
        """Push an image, and have it planned."""
        wanted = ImageReference.parse(reference)
        registry = APPS if reference.startswith("myapps") else BASE
        self.world.images.digests[reference] = digest
        told = Push(registry, wanted.path, str(wanted.tag), digest, self.world.time.now, "e")
        self.world.ledger.record_push(told, self.world.time.now)
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

    def end(self, name: str, *, fails: bool = False, told: bool = True) -> None:
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
            self._record(name, {b.partition("@")[0]: b.partition("@")[2] for b in head.bases})
            self.world.images.digests[image(name)] = digest
            if told:
                self.push(image(name), digest)
                self.deliver()
        self.world.tasks.found_runs[run_id] = done
        self.world.queue.take(RUNS)
        track_build(self.world.context, TrackBuild(tid(name), head.sequence, head.version))
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


def test_a_diamond_is_built_once_each(world: World) -> None:
    """The last of four comes after both that it stands on, whichever is over first."""
    wave = Wave(world, top="node", left="top", right="top", last="left right")
    wave.push(NODE, NEW)
    wave.deliver()
    assert wave.running() == ["top"]
    wave.end("top")
    assert wave.running() == ["left", "right"]
    wave.end("right")
    assert wave.running() == ["left"]
    assert wave.waits_for("last") == ["left"]
    assert wave.all() == ["top", "right", "left", "last"]
    assert len(world.tasks.scheduled) == 4


def test_who_reads_the_base_too_waits_for_what_it_reads_besides(world: World) -> None:
    """It would be built at once, and again when its upstream is."""
    wave = Wave(world, a="node", last="node a")
    wave.push(NODE, NEW)
    wave.deliver(reverse=True)
    assert wave.running() == ["a"]
    assert wave.waits_for("last") == ["a"]
    assert wave.all() == ["a", "last"]


def test_what_is_not_begun_is_waited_for(world: World) -> None:
    """Over a task that no message has come for."""
    wave = Wave(world, a="node", b="a", c="b", last="node c")
    wave.push(NODE, NEW)
    wave.deliver(reverse=True)
    assert wave.waits_for("last") == ["a"]
    assert wave.all() == ["a", "b", "c", "last"]


def test_an_upstream_that_fails_holds_nobody_for_ever(world: World) -> None:
    """What also needs the base is built; what does not is left."""
    wave = Wave(world, a="node", b="a", both="node b", beside="node")
    wave.push(NODE, NEW)
    wave.deliver()
    assert wave.running() == ["a", "beside"]
    assert wave.waits_for("both") == ["a"]
    assert wave.all("a") == ["a", "beside", "both"] or wave.ended == ["a", "both", "beside"]
    assert wave.head("b") is None


@pytest.mark.parametrize("reverse", [False, True])
def test_a_circle_that_the_base_reaches_twice_is_gone_through_once(
    world: World, *, reverse: bool
) -> None:
    """The first by name begins."""
    wave = Wave(world, a="node b", b="node a")
    wave.push(NODE, NEW)
    wave.deliver(reverse=reverse)
    assert wave.running() == ["a"]
    assert wave.waits_for("b") == ["a"]
    assert wave.all() == ["a", "b"]


def test_what_one_waits_for_is_told_as_it_is(world: World) -> None:
    """With how far each is; looked at from time to time, should nobody tell."""
    wave = Wave(world, a="node", last="node a")
    wave.push(NODE, NEW)
    wave.deliver(reverse=True)
    held = wave.head("last")
    assert held is not None
    assert held.hold is Hold.GATE
    assert "waiting for upstream tasks of the same wave: myapps/a (to be begun) (over when" in str(
        held.outcome
    )
    assert held.due == world.time.now + timedelta(minutes=2)
    assert rebuild_from_text(rebuild_to_text(held)) == held
    assert list(holds(world.context)) == ["waiting for upstream tasks"]
    begun = world.time.now
    for _ in range(9):
        wave.later()
    found = wave.head("last")
    assert found is not None
    assert "myapps/a (scheduled, run ca1)" in str(found.outcome)
    assert found.due is not None
    assert (found.due - world.time.now) <= (world.time.now - begun) / 4 + timedelta(minutes=2)


def test_who_was_not_woken_looks_by_itself(world: World) -> None:
    """The message for it was lost."""
    wave = Wave(world, a="node", last="node a")
    wave.push(NODE, NEW)
    wave.deliver()
    head = wave.head("a")
    assert head is not None
    world.ledger.save(replace(head, state=State.GIVEN_UP, due=None))
    assert wave.running() == []
    assert wave.later()
    assert wave.running() == ["last"]


def test_who_retries_by_hand_waits_for_nobody(world: World) -> None:
    """A person has looked at it."""
    wave = Wave(world, a="node", last="node a")
    wave.push(NODE, NEW)
    wave.deliver()
    start_build(world.context, StartBuild(ROOT, tid("last"), anew=True, after=1), "ann")
    assert wave.running() == ["a", "last"]


def test_one_that_azure_refuses_is_over(world: World) -> None:
    """Whoever waits for it is built at once."""
    wave = Wave(world, a="node", last="node a")
    world.tasks.failures["schedule"] = [Denied("no role")]
    wave.push(NODE, NEW)
    wave.deliver(reverse=True)
    assert wave.running() == ["last"]


def test_one_that_is_not_begun_is_waited_for_for_a_while(world: World) -> None:
    """Its message may be lost for good."""
    wave = Wave(world, a="node", last="node a")
    wave.push(NODE, NEW)
    for body, _ in world.queue.take(BUILDS):
        message = StartBuild.decode(body)
        if message.task == tid("last"):
            start_build(world.context, message, "me")
    assert wave.waits_for("last") == ["a"]
    world.time.now += TO_COME
    wave.deliver()
    while wave.later() and not wave.running():
        pass
    assert wave.running() == ["last"]


def test_one_whose_plan_is_to_come_is_waited_for(world: World) -> None:
    """The plan goes through many tasks, and messages are quicker than its end."""
    wave = Wave(world, a="node", last="node a", old="node b", b="node")
    world.ledger.record_push(ROOT, world.time.now)
    world.images.digests[NODE] = NEW
    start_build(world.context, StartBuild(ROOT, tid("last")), "me")
    assert wave.waits_for("last") == ["a"]
    assert "its plan is to come" in str(wave.head("last").outcome)  # type: ignore[union-attr]
    wave._record("b", {NODE: NEW})  # somebody has run it
    scan_registry(world.context, APPS)
    start_build(world.context, StartBuild(ROOT, tid("old")), "me")
    assert wave.running() == ["old"]


def test_one_that_is_left_alone_is_not_waited_for(world: World) -> None:
    """It is disabled since; what was decided last counts."""
    wave = Wave(world, a="node", last="node a")
    world.tasks.known[tid("a")] = replace(world.tasks.known[tid("a")], enabled=False)
    wave.push(NODE, NEW)
    wave.deliver()
    assert wave.running() == ["last"]


def test_one_that_another_wave_has_begun_is_that_one(world: World) -> None:
    """A rebuild on what was pushed counts, whichever push it was begun for."""
    other = "mybase.azurecr.io/images/go:1"
    wave = Wave(world, a="node go", last="node a")
    world.images.digests[other] = OLD
    world.tasks.add(task("a", dependency(), dependency(other)))
    scan_registry(world.context, APPS)
    wave.push(NODE, NEW)
    world.queue.take(BUILDS)
    wave.push(other, NEW)
    wave.deliver()
    assert wave.running() == ["a"]
    start_build(world.context, StartBuild(ROOT, tid("last")), "me")
    assert wave.waits_for("last") == ["a"]
    wave.end("a")
    assert wave.running() == ["last"]


def test_what_is_pushed_where_nobody_listens_reaches_nobody(world: World) -> None:
    """No event comes of it: nobody waits for who reads it."""
    wave = Wave(world, a="node", b="a", last="node b")
    world.context = replace(
        world.context, settings=Settings(frozenset({BASE}), (APPS,), "sqlite:unused")
    )
    wave.push(NODE, NEW)
    wave.deliver()
    assert wave.waits_for("last") == ["a"]
    wave.end("a", told=False)
    assert wave.later()
    assert wave.running() == ["last"]
    assert wave.head("b") is None


_SIX = st.integers(0, 6)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.sets(_SIX, max_size=3), min_size=2, max_size=7),
    st.sets(_SIX, min_size=1, max_size=3),
    st.sets(_SIX, max_size=2),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_nothing_before_its_upstream_and_nothing_twice(
    reads: list[set[int]],
    direct: set[int],
    failing: set[int],
    random: Random,
    circles: bool,  # noqa: FBT001 - of hypothesis
) -> None:
    """Whatever stands on what, whatever fails, and in whatever order runs end."""
    graph = {
        f"t{one}": [
            *(["node"] if one in direct else []),
            *(f"t{other}" for other in of if other < (len(reads) if circles else one) != one),
        ]
        for one, of in enumerate(reads)
    }
    graph = {one: [other for other in of if other != one] for one, of in graph.items()}
    # One that fails in a circle is tried again on what the others push: that may mend it.
    fails = set() if circles else {f"t{one}" for one in failing}
    with TemporaryDirectory() as folder:
        wave = Wave(
            World(Path(folder)), **{n: " ".join(of or ["other"]) for n, of in graph.items()}
        )
        wave.push(NODE, NEW)
        wave.deliver(reverse=random.random() > _HALF)
        ended = wave.all(*fails, first=random.choice)
    built: set[str] = set()
    while more := {n for n, of in graph.items() if {"node", *built - fails} & set(of)} - built:
        built |= more
    assert sorted(ended) == sorted(built)
    if not circles:
        for number, one in enumerate(ended):
            assert not {*graph[one]} & {*ended[number:]}, (one, ended)
