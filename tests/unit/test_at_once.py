"""Whoever sends a message while there is little to do goes on with it."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

import azure.functions as func
import pytest

from functions import image_pushed, plan_rebuilds
from functions._work import AT_ONCE
from rebuilder import composition
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import BUILDS, PUSHES, REFRESH, RUNS, PlanRebuilds, TrackBuild
from rebuilder.errors import Refused, TransientError
from rebuilder.ports.queue import Begun
from rebuilder.usecases import at_once
from rebuilder.usecases.at_once import HIDDEN, MOST, AtOnce
from rebuilder.usecases.context import Context
from tests.unit.fakes import BASE, NEW, NODE, World, dependency, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
NOW = timedelta()


@pytest.fixture(name="world")
def _world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """One task whose base has moved, and the functions beside it."""
    world = World(tmp_path)
    known = task("build-app", dependency())
    world.tasks.add(known)
    world.images.digests[NODE] = NEW
    world.images.came[NEW] = world.time.now
    monkeypatch.setattr(composition, "compose", lambda: world.context)
    return world


def told() -> func.EventGridEvent:
    """Return the event of the push."""
    target = {"repository": "images/node", "tag": "9", "digest": NEW}
    return func.EventGridEvent(
        id="event-1",
        data={"timestamp": "2026-01-02T03:04:05Z", "action": "push", "target": target},
        topic=str(BASE),
        subject="images/node:9",
        event_type="Microsoft.ContainerRegistry.ImagePushed",
        event_time=None,
        data_version="1",
    )


def accept() -> None:
    """Call the function of pushes."""
    asyncio.run(image_pushed.image_pushed._function.get_user_function()(told()))


def works(seen: list[str]) -> dict[str, at_once.Work]:
    """Return what works messages of one queue off by writing them down."""
    return {"q": lambda _, body: seen.append(body)}


def test_from_an_event_to_its_run_nothing_waits(world: World) -> None:
    """The run is scheduled, and what is left in the queues is what the run is looked at by."""
    accept()

    assert [scheduled for scheduled, _ in world.tasks.scheduled] == [task("build-app").id]
    assert {queue for queue, _, _ in world.queue.sent} <= {RUNS, REFRESH}
    ((body, delay),) = world.queue.take(RUNS)
    assert TrackBuild.decode(body).task == task("build-app").id
    assert delay > NOW


def test_a_plan_goes_on_with_its_builds(world: World) -> None:
    """Where the push came by the queue."""
    message = func.QueueMessage(body=PlanRebuilds(PUSH).encode())
    plan_rebuilds.plan_rebuilds._function.get_user_function()(message)

    assert len(world.tasks.scheduled) == 1
    assert world.queue.take(BUILDS) == []


def test_more_than_a_few_are_left_to_many_threads(world: World) -> None:
    """A plan with many builds sends them all; none is begun here."""
    for number in range(MOST + 1):
        world.tasks.add(task(f"build-{number}", dependency()))
    message = func.QueueMessage(body=PlanRebuilds(PUSH).encode())
    plan_rebuilds.plan_rebuilds._function.get_user_function()(message)

    assert world.tasks.scheduled == []
    assert [delay for _, delay in world.queue.take(BUILDS)] == [NOW] * (MOST + 2)


def test_one_call_goes_on_with_a_few_only(world: World) -> None:
    """What leads to itself again and again ends here, and goes on by the queue."""
    seen: list[str] = []

    def again(context: Context, body: str) -> None:
        seen.append(body)
        context.queue.send("q", f"{body}x")

    call = AtOnce(world.context, {"q": again})
    call.context.queue.send("q", "x")
    call.go_on()

    assert seen == ["x" * (number + 1) for number in range(MOST)]
    assert world.queue.sent == [("q", "x" * (MOST + 1), NOW)]


def test_what_is_not_to_be_gone_on_with_is_sent(world: World) -> None:
    """Other queues, what comes later, and more than a few together."""
    seen: list[str] = []
    call = AtOnce(world.context, works(seen))
    queue = call.context.queue
    queue.send("other", "a")
    queue.send("q", "b", timedelta(seconds=1))
    queue.send_many("other", ["c"])
    queue.send_many("q", [str(number) for number in range(MOST + 1)])
    sent = [(name, body) for name, body, _ in world.queue.sent]
    queue.send_many("q", ["d", "e"])
    call.go_on()

    assert seen == ["d", "e"]
    assert [(name, body) for name, body, _ in world.queue.sent] == sent
    assert len(sent) == 3 + MOST + 1


def test_none_is_begun_if_one_is_too_large(world: World) -> None:
    """As none is sent."""
    call = AtOnce(world.context, works([]))
    with pytest.raises(Refused):
        call.context.queue.send_many("q", ["small", "x" * 100_000])

    assert world.queue.sent == []


def test_where_there_is_much_to_do_others_do_it(world: World) -> None:
    """Whoever finds others going on gives back what it has begun, at once."""
    seen: list[str] = []

    def busy(context: Context, body: str) -> None:
        seen.append(body)
        other = AtOnce(context, works(seen))
        other.context.queue.send("q", "other")
        other.go_on()

    second = AtOnce(world.context, {"p": busy})
    second.context.queue.send("p", "second")

    def nested(_context: Context, body: str) -> None:
        seen.append(body)
        second.go_on()

    first = AtOnce(world.context, {"n": nested})
    first.context.queue.send("n", "first")
    first.go_on()

    assert seen == ["first", "second"]
    assert world.queue.sent == [("q", "other", NOW)]


def test_what_fails_goes_back(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The host delivers it, and counts; the others are gone on with."""
    seen: list[str] = []

    def fail(_: Context, body: str) -> None:
        seen.append(body)
        if body == "bad":
            raise RuntimeError("unforeseen")

    call = AtOnce(world.context, {"q": fail})
    call.context.queue.send_many("q", ["bad", "good"])
    with caplog.at_level(logging.ERROR):
        call.go_on()

    assert seen == ["bad", "good"]
    assert world.queue.sent == [("q", "bad", NOW)]
    assert "unforeseen" in caplog.text


def test_what_is_out_of_order_is_put_back_once(world: World) -> None:
    """By the delivery, as it is when the host delivers it."""

    def fail(_: Context, body: str) -> None:
        raise TransientError(body)

    call = AtOnce(world.context, {"q": fail})
    call.context.queue.send("q", "{}")
    call.go_on()

    ((queue, _, delay),) = world.queue.sent
    assert queue == "q"
    assert delay > NOW


def test_a_call_ends_in_time(world: World) -> None:
    """What takes long is not followed by more."""
    seen: list[str] = []

    def slow(_: Context, body: str) -> None:
        seen.append(body)
        world.time.pass_(11)

    call = AtOnce(world.context, {"q": slow})
    call.context.queue.send_many("q", ["a", "b"])
    call.go_on()

    assert seen == ["a"]
    assert world.queue.sent == [("q", "b", NOW)]


def test_a_store_that_fails_now_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be deleted is delivered once more; what cannot be given back waits."""
    seen: list[str] = []

    def fail(begun: Begun) -> None:
        raise TransientError(begun.body)

    monkeypatch.setattr(world.queue, "finish", fail)
    monkeypatch.setattr(world.queue, "leave", fail)

    def slow(_: Context, body: str) -> None:
        seen.append(body)
        world.time.pass_(11)

    call = AtOnce(world.context, {"q": slow})
    call.context.queue.send_many("q", ["a", "b"])
    call.go_on()

    assert world.queue.sent == [("q", "a", HIDDEN), ("q", "b", HIDDEN)]
    assert "delivered once more" in caplog.text
    assert "waits for" in caplog.text


def test_the_queues_are_the_same_otherwise(world: World) -> None:
    """What the host gave up is read and forgotten; what others begin is theirs."""
    queue = AtOnce(world.context, works([])).context.queue
    begun = queue.begin("q", "x", HIDDEN)
    queue.leave(begun)
    assert world.queue.sent == [("q", "x", NOW)]
    assert queue.poisoned("q") == []
    queue.close()


def test_the_queues_of_the_way_from_event_to_run_are_gone_on_with() -> None:
    """And no other: what looks at runs has its time."""
    assert set(AT_ONCE) == {PUSHES, BUILDS}
