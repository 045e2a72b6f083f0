"""Events that Event Grid put into a queue: the same as those that it calls functions with."""

from __future__ import annotations

import json

import azure.functions as func
import pytest

from functions import event_queued
from rebuilder.core.events.dead_letters import Origin
from rebuilder.core.rebuilds.messages import EVENTS, PUSHES, REFRESH, PlanRebuilds, Refresh
from rebuilder.errors import TransientError
from rebuilder.usecases.events.accept import accept_event
from rebuilder.usecases.recovery.replay import replay
from tests.unit.fakes import APPS, BASE, NEW, World


def _push(*, cloud: bool) -> dict[str, object]:
    target = {"digest": NEW, "repository": "images/node", "tag": "9"}
    common = {"id": "event-1", "subject": "images/node:9", "data": {"target": target}}
    kind = "Microsoft.ContainerRegistry.ImagePushed"
    if cloud:
        return {**common, "specversion": "1.0", "source": str(BASE), "type": kind}
    return {**common, "topic": str(BASE), "eventType": kind}


def _change(*, cloud: bool) -> dict[str, object]:
    task = f"{APPS}/tasks/build-app"
    common = {"id": "event-2", "subject": task, "data": {"resourceUri": task}}
    kind = "Microsoft.Resources.ResourceWriteSuccess"
    if cloud:
        return {**common, "specversion": "1.0", "source": str(APPS), "type": kind}
    return {**common, "topic": str(APPS), "eventType": kind}


def _deliver(world: World, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rebuilder.composition.compose", lambda: world.context)
    # What goes on at once with what is accepted is tested by itself.
    monkeypatch.setattr("functions._work.AT_ONCE", {})
    work = event_queued.event_queued._function.get_user_function()
    work(func.QueueMessage(id="1", body=body))


@pytest.mark.parametrize("cloud", [True, False])
def test_a_push_is_accepted(world: World, monkeypatch: pytest.MonkeyPatch, *, cloud: bool) -> None:
    """It is the push that the function of Event Grid would have made of it."""
    accepted = accept_event(world.context, _push(cloud=cloud))
    (first,) = world.queue.take(PUSHES)
    _deliver(world, json.dumps(_push(cloud=cloud)), monkeypatch)

    assert world.queue.take(PUSHES) == [first]
    assert PlanRebuilds.decode(first[0]).push == accepted


@pytest.mark.parametrize("cloud", [True, False])
def test_a_changed_task_is_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch, *, cloud: bool
) -> None:
    """Both kinds of events come by the same queue."""
    _deliver(world, json.dumps(_change(cloud=cloud)), monkeypatch)

    ((body, _),) = world.queue.take(REFRESH)
    assert str(Refresh.decode(body).task) == f"{APPS}/tasks/build-app"


def test_what_is_no_event_is_given_up_with_its_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: to deliver it again would change nothing."""
    _deliver(world, "[1]", monkeypatch)

    (letter,) = world.context.dead_letters.waiting()
    assert (letter.origin, letter.source, letter.body) == (Origin.QUEUE, EVENTS, "[1]")
    assert letter.reason.startswith("no event: ")
    assert replay(world.context, letter) == f"back in {EVENTS}"


def test_an_event_waits_for_a_store_that_is_out_of_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is put back, and taken over when the store is there again."""

    def fail(*_: object) -> None:
        raise TransientError("no store")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.context.ledger), "record_events", fail)
        _deliver(world, json.dumps(_push(cloud=True)), monkeypatch)
    ((body, delay),) = world.queue.take(EVENTS)
    assert delay.total_seconds() == 5
    assert json.loads(body) | {"tries": 1, "since": 0} == _push(cloud=True) | {
        "tries": 1,
        "since": 0,
    }
    _deliver(world, body, monkeypatch)

    ((plan, _),) = world.queue.take(PUSHES)
    assert PlanRebuilds.decode(plan).push.event == "event-1"
