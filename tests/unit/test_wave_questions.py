"""What people ask of waves: what a push would lead to, and how far one is."""

from __future__ import annotations

from copy import replace
from datetime import timedelta
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Makes, Output, RunStatus
from rebuilder.core.policies.acts import Target, What
from rebuilder.core.policies.holds import OutsideWindow, Paused
from rebuilder.core.rebuilds.messages import ACTS, OperatorAct
from rebuilder.core.waves.forecast import Forecast, Planned, critical_path
from rebuilder.core.waves.schedule import begins
from rebuilder.errors import NotFound
from rebuilder.usecases.steering.acts import ask, carry_out
from rebuilder.usecases.steering.policy_file import apply_policy
from rebuilder.usecases.waves.preview import preview
from rebuilder.usecases.waves.progress import Stage, WaveReport, progress
from tests.unit.fakes import APPS, NEW, NODE, OLD, World, run
from tests.unit.waves import ROOT, Wave, image, tid

IMAGE = ImageReference.parse(NODE)


@pytest.fixture(name="wave")
def _wave(world: World) -> Wave:
    return Wave(world, top="node", left="top", right="top node", last="left right", alone="other")


def planned(found: Forecast) -> dict[str, list[str]]:
    """Return the tasks of each layer."""
    layers: dict[str, list[str]] = {}
    for task in found.tasks:
        layers.setdefault(str(task.layer), []).append(task.task.name)
    return layers


def stages(found: WaveReport) -> dict[str, str]:
    """Return how far each task is."""
    return {task.task.name: task.stage.value for task in found.tasks}


def decide(world: World, text: str) -> None:
    """Apply a policy file."""
    text = "version: 1\n" + dedent(text).lstrip("\n")
    apply_policy(world.context, text, file="p.yaml", who="ann", because="test")
    world.context.in_force.forget()


def test_a_push_that_was_not_made(wave: Wave) -> None:
    """Each task with its layer, its reason and what it comes after; nothing is written."""
    found = preview(wave.world.context, IMAGE)

    assert planned(found) == {"0": ["top"], "1": ["left", "right"], "2": ["last"]}
    assert found.tasks[0].reason == f"it reads {NODE}"
    assert found.tasks[2].reason == f"it reads {NODE}, {image('top')}"
    assert [task.name for task in found.tasks[3].upstream] == ["left", "right"]
    assert found.digest == ""
    assert (found.left, found.cycles) == ({}, ())
    assert wave.world.ledger.push(ROOT.key) is None
    assert wave.world.tasks.scheduled == []


def test_a_digest_that_some_stand_on(wave: Wave) -> None:
    """They are left, with the evidence; who stands on an older one is told by its decision."""
    wave.record("right", {NODE: NEW})
    wave.scan()

    found = preview(wave.world.context, IMAGE.at(NEW))

    assert planned(found) == {"0": ["top"], "1": ["left", "right"], "2": ["last"]}
    assert found.tasks[2].moved == (image("top"),)
    assert OLD in found.tasks[0].reason
    beside = preview(wave.world.context, IMAGE.at(OLD))
    assert planned(beside) == {"0": ["right"], "1": ["last"]}
    assert "already built on" in beside.left[tid("top")]


def test_what_would_hold_it(wave: Wave) -> None:
    """By the policies and pauses of now, with when that ends."""
    decide(
        wave.world,
        """
        policies: {nights: {windows: [{from: "22:00", to: "23:00", timezone: UTC}]}}
        rules:
          - {match: {task: "*/left"}, policy: nights}
          - {match: {task: "*/right"}, ignore: true}
        """,
    )
    ask(wave.world.context, What.PAUSE, Target(), who="ann", because="bad")
    for body, _ in wave.world.queue.take(ACTS):
        carry_out(wave.world.context, OperatorAct.decode(body).act)

    found = {task.task.name: task for task in preview(wave.world.context, IMAGE).tasks}

    assert [type(reason) for reason in found["left"].holds] == [Paused, OutsideWindow]
    assert found["left"].until is None
    assert [type(reason) for reason in found["top"].holds] == [Paused]
    assert (
        "the policy file has it left alone" in preview(wave.world.context, IMAGE).left[tid("right")]
    )


def test_how_long_it_takes_and_what_it_costs(wave: Wave) -> None:
    """By the last rebuild of each, else by ARM's newest runs; and the longest way."""
    wave.push(NODE, NEW)
    wave.deliver()
    wave.world.time.pass_(600)
    wave.all()
    now = wave.world.time.now
    wave.world.tasks.found_runs["x"] = run(
        "x",
        task="right",
        status=RunStatus.SUCCEEDED,
        started=now,
        finished=now + timedelta(minutes=30),
    )
    found = preview(wave.world.context, IMAGE)
    took = {task.task.name: task.minutes for task in found.tasks}
    assert took["top"] == 10
    assert took["right"] == 30
    path, minutes = found.critical_path()
    assert [task.task.name for task in path] == ["top", "right", "last"]
    assert minutes == 40
    assert found.cost(2, 0.5) == found.minutes


def test_the_longest_way_counts_tasks_where_nothing_is_known() -> None:
    """Of as many minutes the longer one."""
    one, two, three = (Planned(tid(name), at, "", ()) for at, name in enumerate("abc"))
    assert critical_path(()) == ((), 0.0)
    later = replace(three, upstream=(two.task,))
    assert critical_path((one, two, later)) == ((two, later), 0.0)


def after(tasks: list[Planned], **limits: int) -> dict[str, float]:
    """Return after how many minutes each task would begin, by name."""
    return {task.name: minutes for task, minutes in begins(tasks, limits).items()}


def one(name: str, minutes: float, *rooms: str, **more: Any) -> Planned:  # noqa: ANN401 - passed on
    """A task of the first layer that takes so long."""
    return Planned(tid(name), 0, "", (), minutes=minutes, rooms=rooms, **more)


def test_places_are_given_out_by_priority_and_by_who_waited() -> None:
    """A minute of waiting is worth a point, as it is where places are really given out."""
    first, urgent = one("a", 10, "r"), one("b", 10, "r", priority=60)
    below = one("c", 10, "r", priority=55, upstream=(urgent.task,))
    assert after([first, urgent, below], r=1) == {"b": 0, "a": 10, "c": 20}
    sooner = replace(below, priority=61)
    assert after([first, urgent, sooner], r=1) == {"b": 0, "c": 10, "a": 20}


def test_a_place_is_needed_in_each_room_and_others_pass_by() -> None:
    """Who needs a place in one room only does not wait for who waits for the other."""
    tasks = [one("a", 10, "r"), one("b", 10, "r", "s"), one("c", 10, "s"), one("d", 5), one("e", 1)]
    assert after(tasks, r=1, s=1) == {"a": 0, "c": 0, "d": 0, "e": 0, "b": 10}
    assert begins([], {}) == {}


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 9), st.sets(st.integers(0, 30), max_size=3)),
        max_size=30,
    ),
    st.integers(1, 4),
)
def test_no_room_is_ever_too_full_and_none_is_late_for_nothing(
    drawn: list[tuple[int, int, set[int]]], most: int
) -> None:
    """Each begins after its upstream tasks, once; with places for all as soon as they are over."""
    tasks = [
        one(
            f"t{n}",
            minutes,
            "r",
            priority=priority,
            upstream=tuple(tid(f"t{u}") for u in above if u < n),
        )
        for n, (minutes, priority, above) in enumerate(drawn)
    ]
    began, free = begins(tasks, {"r": most}), begins(tasks, {"r": len(tasks) + 1})
    ends = {task.task: began[task.task] + (task.minutes or 0) for task in tasks}
    assert began.keys() == free.keys() == ends.keys()
    for task in tasks:
        at = began[task.task]
        assert all(ends[other] <= at for other in task.upstream)
        assert sum(began[o.task] <= at < ends[o.task] for o in tasks) <= most
        above = [
            free[o] + next(t.minutes or 0 for t in tasks if t.task == o) for o in task.upstream
        ]
        assert free[task.task] == max(above, default=0)
        assert at >= free[task.task]


def test_a_forecast_knows_the_places(wave: Wave) -> None:
    """Those that a task needs by its policy and its registry, and what of them is not known."""
    decide(
        wave.world,
        """
        policies: {few: {maxConcurrent: 2, priority: 90}}
        rules: [{match: {task: "*/left"}, policy: few}]
        limits: {registries: {myapps: 3, other: 4}, agentPools: {myapps/pool: 5}}
        """,
    )
    found = preview(wave.world.context, IMAGE)
    rooms = {task.task.name: (task.rooms, task.priority) for task in found.tasks}
    assert rooms["left"] == (("policy few", "registry myapps"), 90)
    assert rooms["right"] == (("registry myapps",), 50)
    assert found.limits == {"policy few": 2, "registry myapps": 3}
    assert any("which agent pools" in what for what in found.unknown)


def test_what_cannot_be_known_is_told(wave: Wave) -> None:
    """Names that only a run fills in, files that could not be read, registries never read."""
    world = wave.world
    known = world.index.view(tid("left"))
    assert known is not None
    later = world.time.now + timedelta(seconds=1)
    output = Output(Makes.IMAGE, ("myapps.azurecr.io/x:{{.Run.ID}}",))
    world.index.replace(replace(known.view, output=output), later)
    other = world.index.view(tid("right"))
    assert other is not None
    world.index.replace(replace(other.view, output=Output(Makes.UNKNOWN, because="no")), later)
    decide(world, "policies: {slow: {selectable: true, cooldown: 1h}}")
    world.context = replace(
        world.context,
        settings=replace(
            world.context.settings, task_registries=(APPS, replace(APPS, name="other"))
        ),
    )
    told = "\n".join(preview(world.context, IMAGE).unknown)

    assert "who reads what 1 task(s) push under names that only a run fills in: myapps/left" in told
    assert "what the tasks of other read: they were never all read" in told
    assert "the index has no tags" in told
    assert "no run of theirs is known" in told
    world.time.pass_(30 * 86400)
    assert any("its index is old" in what for what in preview(world.context, IMAGE).unknown)


@pytest.mark.parametrize("name", ["elsewhere.io/x:1", f"mybase.azurecr.io/images/node@{NEW}"])
def test_what_cannot_be_pushed_is_refused(wave: Wave, name: str) -> None:
    """A registry that is none of ours, and what tasks cannot follow."""
    with pytest.raises(NotFound):
        preview(wave.world.context, ImageReference.parse(name))


def test_how_far_a_wave_is(wave: Wave) -> None:
    """From the plan to the end, by the image or by what came of it."""
    context = wave.world.context
    with pytest.raises(NotFound):
        progress(context, IMAGE)
    wave.push(NODE, NEW)
    assert stages(progress(context, IMAGE)) == dict.fromkeys(
        ("top", "left", "right", "last"), "to come"
    )
    wave.deliver(reverse=True)
    found = progress(context, IMAGE.at(NEW))
    assert stages(found) == {
        "top": "building",
        "left": "to come",
        "right": "held",
        "last": "to come",
    }
    assert found.tasks[1].why == "myapps/top is building"
    assert not found.over
    wave.end("top")
    report = progress(context, ImageReference.parse(image("top")))
    assert report.push.key == ROOT.key
    assert stages(report) == {
        "top": "done",
        "left": "building",
        "right": "building",
        "last": "to come",
    }
    assert report.count(1)[Stage.BUILDING] == 2
    assert report.depth == 3
    wave.all("left")
    found = progress(context, IMAGE.at(NEW))
    assert stages(found) == {"top": "done", "left": "failed", "right": "done", "last": "done"}
    assert found.over


def test_who_is_left_is_told_why(world: World) -> None:
    """Over as many layers as it takes."""
    wave = Wave(world, a="node", b="a", c="b", off="node", on="node", gone="off")
    world.tasks.known[tid("off")] = replace(world.tasks.known[tid("off")], enabled=False)
    wave.record("on", {NODE: NEW})
    wave.scan()
    wave.push(NODE, NEW)
    wave.deliver()
    wave.all("a")
    found = progress(world.context, IMAGE)

    assert stages(found) == {
        "a": "failed",
        "b": "left",
        "c": "left",
        "off": "left",
        "on": "left",
        "gone": "left",
    }
    why = {task.task.name: task.why for task in found.tasks}
    assert why["b"] == "myapps/a is failed"
    assert why["c"] == "myapps/b is left"
    assert why["off"] == "the task is disabled"
    assert "already built on" in why["on"]


def test_a_push_by_its_digest_alone(wave: Wave) -> None:
    """Or one that is not known."""
    wave.push(NODE, NEW)
    by_digest = ImageReference.parse(f"mybase.azurecr.io/images/node@{NEW}")
    assert progress(wave.world.context, by_digest).push.key == ROOT.key
    with pytest.raises(NotFound, match="no push of"):
        progress(wave.world.context, IMAGE.at(OLD))
    with pytest.raises(NotFound, match="none of the registries"):
        progress(wave.world.context, ImageReference.parse("elsewhere.io/x:1"))
