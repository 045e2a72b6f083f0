"""Waves: what comes after what, once each, in the flow of rebuilds."""

from __future__ import annotations

from copy import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    PlanRebuilds,
    StartBuild,
)
from rebuilder.core.rebuilds.rebuild import Hold, State
from rebuilder.core.rebuilds.records import rebuild_from_text, rebuild_to_text
from rebuilder.errors import Denied
from rebuilder.settings import Settings
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.reports.holds import holds
from rebuilder.usecases.waves.upstream import TO_COME
from tests.unit.fakes import APPS, BASE, NEW, NODE, OLD, World, dependency, task
from tests.unit.waves import ROOT, Wave, tid

_HALF = 0.5


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
def test_a_cycle_that_the_base_reaches_twice_is_gone_through_once(
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
    start_build(world.context, StartBuild(ROOT, tid("last"), forced=True, after=1), "ann")
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


def test_one_that_is_to_be_begun_since_tomorrow_is_not_waited_for(world: World) -> None:
    """The plan's clock was days ahead: whoever believed it would wait for so many days."""
    wave = Wave(world, a="node", last="node a")
    world.time.now += timedelta(days=5)
    wave.push(NODE, NEW)
    world.time.now -= timedelta(days=5)
    for body, _ in world.queue.take(BUILDS):
        message = StartBuild.decode(body)
        if message.task == tid("last"):
            start_build(world.context, message, "me")
    assert wave.running() == ["last"]


def test_one_whose_plan_is_to_come_is_waited_for(world: World) -> None:
    """The plan goes through many tasks, and messages are quicker than its end."""
    wave = Wave(world, a="node", last="node a", old="node b", b="node")
    world.ledger.record_events([ROOT], world.time.now)
    world.images.digests[NODE] = NEW
    start_build(world.context, StartBuild(ROOT, tid("last")), "me")
    assert wave.waits_for("last") == ["a"]
    assert "its plan is to come" in str(wave.head("last").outcome)  # type: ignore[union-attr]
    wave.record("b", {NODE: NEW})  # somebody has run it: on which image, the plan finds out
    scan_registry(world.context, APPS)
    start_build(world.context, StartBuild(ROOT, tid("old")), "me")
    assert wave.waits_for("old") == ["b"]
    plan_rebuilds(world.context, PlanRebuilds(ROOT))
    wave.deliver()
    assert wave.running() == ["a", "old"]


def test_what_an_upstream_pushed_is_planned_before_who_waits_goes_on(world: World) -> None:
    """An event is late, or lost: who reads what was pushed is awaited by those below it."""
    wave = Wave(world, low="node", mid="low", top="mid node")
    wave.push(NODE, NEW)
    wave.deliver()
    wave.end("low", told=False)
    assert wave.later()
    assert wave.running() == []
    assert wave.waits_for("top") == ["mid"]
    for body, _ in world.queue.take(PUSHES):
        plan_rebuilds(world.context, PlanRebuilds.decode(body))
    wave.deliver()
    assert wave.all() == ["low", "mid", "top"]


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


def test_what_leads_back_into_a_cycle_is_left(world: World) -> None:
    """Although the task that it leads to had no part in it."""
    wave = Wave(world, a="node d", c="a d", d="node c")
    wave.push(NODE, NEW)
    wave.deliver()
    assert wave.all() == ["a", "d", "c"]


_SIX = st.integers(0, 6)


@settings(max_examples=15, deadline=None)
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
    cycles: bool,  # noqa: FBT001 - of hypothesis
) -> None:
    """Whatever stands on what, whatever fails, and in whatever order runs end."""
    graph = {
        f"t{one}": [
            *(["node"] if one in direct else []),
            *(f"t{other}" for other in of if other < (len(reads) if cycles else one) != one),
        ]
        for one, of in enumerate(reads)
    }
    graph = {one: [other for other in of if other != one] for one, of in graph.items()}
    # One that fails in a cycle is tried again on what the others push: that may mend it.
    fails = set() if cycles else {f"t{one}" for one in failing}
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
    if not cycles:
        for number, one in enumerate(ended):
            assert not {*graph[one]} & {*ended[number:]}, (one, ended)
