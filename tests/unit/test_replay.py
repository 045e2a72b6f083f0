from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rebuilder.core.dead_letters import DeadLetter, Origin
from rebuilder.core.events import Push
from rebuilder.core.evidence import Evidence, Said, Source, join
from rebuilder.core.messages import (
    BUILDS,
    PUSHES,
    REFRESH,
    PlanRebuilds,
    StartBuild,
    put_back,
    tried_since,
)
from rebuilder.core.rebuilds import Rebuild, State
from rebuilder.core.references import ImageReference
from rebuilder.core.tasks import Kind
from rebuilder.errors import NotFound, TransientError
from rebuilder.usecases.replay import chosen_letters, replay, retry
from tests.unit.fakes import APPS, BASE, NEW, NEWER, NODE, OLD, World, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
EVENTS = Path(__file__).resolve().parent.parent / "events"
TASK = f"{APPS}/tasks/build-app"


def kept(world: World, source: str, body: str, origin: Origin = Origin.QUEUE) -> DeadLetter:
    """Keep a dead letter."""
    letter = DeadLetter(origin, source, body, "reason", world.time.now)
    world.context.dead_letters.record(letter)
    return letter


def test_a_message_goes_back_as_it_was_first_sent(world: World) -> None:
    """It is counted anew, asks for its turn again, and was replayed after that, not before."""
    sent = StartBuild(PUSH, task().id, turn=world.time.now)
    body = put_back(put_back(sent.encode(), world.time.now), world.time.now)
    letter = kept(world, BUILDS, body)
    world.time.pass_(60)

    assert replay(world.context, letter) == f"back in {BUILDS}"
    ((again, _),) = world.queue.take(BUILDS)
    assert StartBuild.decode(again) == replace(sent, turn=None)
    assert tried_since(again) == (0, None)
    assert world.context.dead_letters.all() == [replace(letter, replayed_at=world.time.now)]


@pytest.mark.parametrize("body", ["{", "7", "[" * 100_000])
def test_what_is_none_of_ours_goes_back_as_it_is(world: World, body: str) -> None:
    """Its function tells the reason again, or a newer version of the product knows it."""
    replay(world.context, kept(world, PUSHES, body))

    assert world.queue.take(PUSHES) == [(body, timedelta())]


def test_a_queue_that_is_no_more_is_said(world: World) -> None:
    """Nothing is put where nobody looks, and the dead letter goes on waiting."""
    letter = kept(world, "rebuilder-of-old", "{}")
    with pytest.raises(NotFound, match="there is no queue rebuilder-of-old"):
        replay(world.context, letter)

    assert world.queue.sent == []
    assert world.context.dead_letters.all() == [letter]


@pytest.mark.parametrize("name", ["pushed.json", "pushed.cloudevent.json"])
def test_an_event_is_accepted_as_if_delivered(world: World, name: str) -> None:
    """A push is recorded and planned, in either schema; a second replay changes nothing more."""
    event = json.loads((EVENTS / name).read_text())
    event = event[0] if isinstance(event, list) else event
    event["source" if "specversion" in event else "topic"] = str(BASE)
    letter = kept(world, str(BASE), json.dumps(event), Origin.EVENT)

    first, second = replay(world.context, letter), replay(world.context, letter)
    one, other = (PlanRebuilds.decode(body).push for body, _ in world.queue.take(PUSHES))
    assert first == second == f"push {one.key} is planned"
    assert one == other
    (record,) = world.ledger.pushes(BASE, one.repository, one.tag)
    assert record.deliveries == 2


def test_a_changed_task_is_read_again(world: World) -> None:
    """An event of a resource goes to the function for those."""
    event = {
        "id": "e",
        "topic": "/subscriptions/s1/resourceGroups/g",
        "subject": TASK,
        "eventType": "Microsoft.Resources.ResourceWriteSuccess",
        "data": {"resourceUri": TASK},
    }
    letter = kept(world, event["topic"], json.dumps(event), Origin.EVENT)  # type: ignore[arg-type] # it is text

    assert replay(world.context, letter) == f"{TASK} is read again"
    assert len(world.queue.take(REFRESH)) == 1


@pytest.mark.parametrize("body", ["not JSON", "[7]", "{}"])
def test_an_event_that_starts_nothing_is_recorded_with_its_reason(world: World, body: str) -> None:
    """It does not wait for ever: its replay tells that nothing comes of it."""
    letter = kept(world, "event grid", body, Origin.EVENT)

    assert replay(world.context, letter).startswith("nothing comes of it: malformed event")
    assert world.queue.sent == []
    (known,) = world.context.dead_letters.all()
    assert known.replayed_at is not None


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("where", ["send", "mark"])
def test_a_death_anywhere_leaves_it_waiting_or_done(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    after: bool,  # noqa: FBT001
) -> None:
    """Whatever is marked as replayed was taken over; the same message twice does no harm."""
    letter = kept(world, BUILDS, StartBuild(PUSH, task().id).encode())
    target, name = {
        "send": (type(world.queue), "send"),
        "mark": (type(world.context.dead_letters), "mark_replayed"),
    }[where]
    real: Callable[..., None] = getattr(target, name)

    def dying(*arguments: object) -> None:
        if after:
            real(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(target, name, dying)
        with pytest.raises(Killed):
            replay(world.context, letter)
    (known,) = world.context.dead_letters.all()
    assert (known.replayed_at is not None) is (where == "mark" and after)
    assert bool(world.queue.sent) is (where == "mark" or after)
    replay(world.context, letter)
    assert {body for body, _ in world.queue.take(BUILDS)} == {
        StartBuild.decode(letter.body).encode().replace(',"turn":null', "")
    }


def test_an_unreachable_store_leaves_it_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is raised and nothing marked."""

    def failing(*_: object) -> None:
        raise TransientError("no connection")

    letter = kept(world, BUILDS, "{}")
    monkeypatch.setattr(world.queue, "send", failing)
    with pytest.raises(TransientError):
        replay(world.context, letter)

    assert world.context.dead_letters.all() == [letter]


def test_the_letters_that_a_person_means(world: World) -> None:
    """Some by id, whether replayed or not; or all that wait; an unknown id stops it all."""
    first, second = kept(world, PUSHES, "1"), kept(world, PUSHES, "2")
    world.context.dead_letters.mark_replayed(first.id, world.time.now)

    assert [x.id for x in chosen_letters(world.context, [first.id])] == [first.id]
    assert [x.id for x in chosen_letters(world.context, [], everything=True)] == [second.id]
    with pytest.raises(NotFound, match="there is no dead letter ffff"):
        chosen_letters(world.context, [first.id, "ffff"])


def head(world: World, state: State, push: str = PUSH.key) -> None:
    """Store a task's only rebuild."""
    assert world.ledger.claim(
        Rebuild(
            task().id, 1, "k" * 64, (f"{NODE}@{NEW}",), push, state,
            world.time.now, "me", world.time.now,
        )
    )  # fmt: skip


def asked(world: World) -> StartBuild:
    """Return the one build that was asked for."""
    ((body, _),) = world.queue.take(BUILDS)
    return StartBuild.decode(body)


def test_a_retry_is_for_the_push_that_was_given_up(world: World) -> None:
    """The circuit is told to try once more."""
    head(world, State.GIVEN_UP)

    assert retry(world.context, task().id).key == PUSH.key
    message = asked(world)
    assert (message.push.key, message.task, message.anew) == (PUSH.key, task().id, True)


def test_a_retry_after_success_is_for_the_newest_push(world: World) -> None:
    """The index tells which tags the task follows; a pinned one and other tags do not count."""
    view = join(
        task().id,
        [
            Evidence(
                Source.BUILD_FILE,
                (
                    Said(ImageReference.parse(NODE), Kind.RUNTIME),
                    Said(ImageReference.parse(f"mybase.azurecr.io/go:1@{OLD}"), Kind.RUNTIME),
                    Said(ImageReference.parse("docker.io/library/alpine:3"), Kind.RUNTIME),
                ),
            )
        ],
    )
    world.index.replace(view, world.time.now)
    for number, push in enumerate(
        (
            PUSH,
            replace(PUSH, digest=NEWER),
            replace(PUSH, tag="10"),
            replace(PUSH, repository="go", tag="1"),
        )
    ):
        world.ledger.record_push(push, world.time.now + timedelta(seconds=number))
    head(world, State.SUCCEEDED)

    assert retry(world.context, task().id).digest == NEWER
    assert asked(world).push.digest == NEWER


def test_a_retry_falls_back_on_the_last_rebuild(world: World) -> None:
    """Where the index knows no push, that of the rebuild that succeeded is taken."""
    head(world, State.SUCCEEDED)

    assert retry(world.context, task().id).key == PUSH.key


def test_a_retry_without_any_push_is_said(world: World) -> None:
    """There is nothing to rebuild for."""
    with pytest.raises(NotFound, match="no push of an image that"):
        retry(world.context, task().id)

    assert world.queue.sent == []
