"""What is recorded can be sent: long texts from outside are cut before they are kept."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.events.dead_events import read_dead_events
from rebuilder.core.events.dead_letters import LONGEST_REASON, DeadLetter
from rebuilder.core.events.pushes import LONGEST, Ignored, Push, read_event, storable
from rebuilder.core.events.task_events import TaskChanged, read_task_event
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    MOST_BYTES,
    PUSHES,
    PlanRebuilds,
    StartBuild,
    check_size,
)
from rebuilder.errors import Denied, Refused, TransientError
from rebuilder.ports.queue import PoisonMessage
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.events.accept import accept_event
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.recovery.collect_dead_letters import collect_dead_letters
from rebuilder.usecases.recovery.delivery import deliver
from tests.unit.fakes import APPS, BASE, NEW, World, dependency, task

LONG = "é" * 10_000
HUGE = "\U0001f600" * 60_000
TARGET = {"digest": NEW, "repository": "images/node", "tag": "9"}
EVENT = {
    "id": "e",
    "topic": str(BASE),
    "subject": "images/node:9",
    "eventType": "Microsoft.ContainerRegistry.ImagePushed",
    "data": {"target": TARGET},
}


def test_a_text_that_fits_stays_as_it_is() -> None:
    """Any of Azure's does."""
    assert storable("x" * LONGEST) == "x" * LONGEST
    assert storable("ü\ud800") == "ü?"


def test_a_long_text_is_cut_and_told_apart() -> None:
    """Two that begin alike stay two; the same text stays one."""
    one, other = storable("a" * 5000 + "1"), storable("a" * 5000 + "2")

    assert one != other
    assert one == storable("a" * 5000 + "1")
    assert one.startswith("a" * 400)
    assert "... (5001 characters, " in one
    assert len(one) == LONGEST
    assert storable(one) == one
    assert storable("\ud800" * 600).startswith("?" * 400)


@given(
    st.sampled_from(["id", "topic", "subject", "eventType", "digest", "tag", "repository"]),
    st.sampled_from([LONG, HUGE, "\ud800" * 70_000, '"' * 100_000]),
)
def test_no_event_is_larger_than_what_takes_it(field: str, text: str) -> None:
    """Whatever is long in it, its message can be sent, and its reason be kept."""
    event = json.loads(json.dumps(EVENT))
    (event["data"]["target"] if field in event["data"]["target"] else event)[field] = text
    accepted = read_event(event, {BASE})

    if isinstance(accepted, Push):
        body = PlanRebuilds(accepted).encode()
        check_size(body)
        check_size(StartBuild(accepted, task().id).encode())
        assert PlanRebuilds.decode(body).push == accepted
    else:
        assert isinstance(accepted, Ignored)
        for kept in (accepted.event, accepted.source, accepted.subject, accepted.sentence()):
            assert len(kept) < 2 * LONGEST


def test_no_event_of_a_task_is_larger_either() -> None:
    """Nor is the reason why it starts nothing."""
    about = {
        "id": HUGE,
        "topic": "/subscriptions/s1",
        "eventType": "Microsoft.Resources.ResourceWriteSuccess",
    }
    uri = f"{APPS}/tasks/one"
    accepted = read_task_event({**about, "data": {"resourceUri": uri}}, {APPS})
    assert isinstance(accepted, TaskChanged)
    for text in (HUGE, f"{APPS}/tasks/{HUGE}"):
        found = read_task_event({**about, "subject": text, "data": {}}, {APPS})
        assert isinstance(found, Ignored)
        assert max(len(found.event), len(found.subject), len(found.sentence())) < 3 * LONGEST


def test_a_message_that_no_queue_takes_is_refused() -> None:
    """Before it is sent; the error tells the sizes."""
    check_size("x" * MOST_BYTES)
    with pytest.raises(Refused, match=f"{MOST_BYTES + 2} bytes; a queue takes {MOST_BYTES}"):
        check_size("x" * MOST_BYTES + "é")


def test_a_long_id_does_not_keep_a_push_from_being_planned(world: World) -> None:
    """Its message is sent, and so is the one of the sweep, should the first be lost."""
    world.tasks.add(task())
    accept_event(world.context, {**EVENT, "id": LONG})
    ((body, _),) = world.queue.take(PUSHES)
    check_size(body)


@pytest.mark.parametrize("how", ["missed", "never planned"])
def test_one_push_that_cannot_be_sent_is_one(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A sweep goes on with the others, says which it was, and gives its lease back."""
    names = [f"mybase.azurecr.io/images/n{number}:9" for number in range(3)]
    for number, name in enumerate(names):
        known = task(f"t{number}", dependency(name))
        world.tasks.add(known)
        world.images.digests[name] = NEW
    scan_registry(world.context, APPS)
    if how == "never planned":
        for number in range(3):
            push = Push(BASE, f"images/n{number}", "9", NEW, None, "event")
            world.ledger.record_events([push], world.time.now)
        world.time.pass_(1200)
    send = world.queue.send

    def refuse(queue: str, body: str, delay: timedelta = timedelta()) -> None:
        if "images/n1" in body:
            raise Refused("RequestBodyTooLarge", "a message of 99999 bytes")
        send(queue, body, delay)

    monkeypatch.setattr(world.queue, "send", refuse)
    report = sweep(world.context, "me")

    done = report.missed if how == "missed" else report.planned_again
    assert [key.split("|")[1] for key in done] == ["images/n0", "images/n2"]
    assert any("n1" in problem and "99999 bytes" in problem for problem in report.problems)
    assert sweep(world.context, "me").swept


def test_a_sweep_that_fails_keeps_nobody_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease is given back at the place that it reached."""
    world.tasks.add(task())

    def fail(*_: object) -> None:
        raise TransientError("no store")

    with monkeypatch.context() as failing:
        failing.setattr(world.ledger, "unplanned", fail)
        with pytest.raises(TransientError):
            sweep(world.context, "me")
    assert sweep(world.context, "you").swept


def test_a_lease_that_cannot_be_given_back_runs_out(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first error is the one that is raised."""
    save = world.context.bookmarks.save
    saves = []

    def once(bookmark: object) -> object:
        saves.append(bookmark)
        if len(saves) > 1:
            raise TransientError("still no store")
        return save(bookmark)  # type: ignore[arg-type] # passed on

    def fail(*_: object, **__: object) -> None:
        raise TransientError("no store")

    monkeypatch.setattr(world.context.bookmarks, "save", once)
    monkeypatch.setattr(world.ledger, "unsettled", fail)
    with pytest.raises(TransientError, match=r"^no store$"):
        sweep(world.context, "me")
    assert "its lease runs out by itself: still no store" in caplog.text


def test_dead_events_are_kept_as_far_as_they_are_read(world: World) -> None:
    """Of a large one what the product reads, each text cut; it can be replayed all the same."""
    nested: dict[str, object] = {"a": {"b": {"c": {}}}}
    data = {"operationName": HUGE, "status": [1], "action": nested, "target": TARGET}
    large = {**EVENT, "id": HUGE, "topic": str(BASE), "more": HUGE, "data": data}
    (letter,) = read_dead_events("blob", json.dumps([large]).encode(), world.time.now)
    assert len(letter.body) < 20_000
    kept = json.loads(letter.body)
    assert "more" not in kept
    assert isinstance(read_event(kept, {BASE}), Push)
    words = {"deadLetterReason": HUGE, "topic": HUGE}
    (letter,) = read_dead_events("blob", json.dumps([words]).encode(), world.time.now)
    assert len(letter.reason) <= LONGEST_REASON
    assert len(letter.source) < 2 * LONGEST
    (letter,) = read_dead_events("blob", json.dumps([["x" * 200_000]]).encode(), world.time.now)
    assert len(letter.body) < 70_000


def test_reasons_are_kept_as_far_as_they_fit(world: World) -> None:
    """Of what could not be worked off, and of what was given up."""

    def fails(*_: object) -> None:
        raise ValueError(HUGE)

    with pytest.raises(ValueError, match=r"^.+"):
        deliver(world.context, BUILDS, "body", fails)
    reason = world.context.dead_letters.failure(BUILDS, "body")
    assert reason is not None
    assert len(reason) <= LONGEST_REASON

    def denied(*_: object) -> None:
        raise Denied(HUGE)

    deliver(world.context, BUILDS, '{"schema":1}', denied)
    (letter,) = world.context.dead_letters.all()
    assert len(letter.reason) <= LONGEST_REASON


def test_one_letter_that_cannot_be_kept_is_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays in its poison queue; the others are kept."""
    for number in range(3):
        body = f"{number}"
        world.queue.poison.append(PoisonMessage(BUILDS, body, world.time.now, (body, "r")))
    record = world.context.dead_letters.record

    def refuse(letter: DeadLetter) -> None:
        if letter.body == "1":
            raise Refused("EntityTooLarge", "no")
        record(letter)

    monkeypatch.setattr(world.context.dead_letters, "record", refuse)
    with pytest.raises(Refused, match="EntityTooLarge"):
        collect_dead_letters(world.context)

    assert [letter.body for letter in world.context.dead_letters.all()] == ["0", "2"]
    assert [message.body for message in world.queue.poison] == ["1"]
