from __future__ import annotations

import json
from collections.abc import Callable
from copy import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    REFRESH,
    PlanRebuilds,
    StartBuild,
    afresh,
    put_back,
    tried_since,
)
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import NotFound, Refused, TransientError, Unforeseen
from rebuilder.ports.queue import PoisonMessage
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.recovery.collect_dead_letters import collect_dead_letters
from rebuilder.usecases.recovery.replay import chosen_letters, discard, replay, replay_each, retry
from tests.unit.fakes import APPS, BASE, NEW, NEWER, NODE, OLD, World, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
AT = datetime(2026, 1, 2, tzinfo=UTC)
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


def test_a_letter_that_waited_does_not_stand_back_behind_others(world: World) -> None:
    """Its place among those that wait was given up with it: replayed, it waits and is built."""
    message = StartBuild(PUSH, task().id)
    head(world, State.CLAIMED, lease=timedelta(hours=1))
    # It waits for the lease, and was sent once more after each look.
    bodies = []
    for look in range(3):
        start_build(world.context, message, f"look {look}")
        ((body, _),) = world.queue.take(BUILDS)
        bodies.append(body)
        message = StartBuild.decode(body)
    assert [StartBuild.decode(body).wait for body in bodies] == [1, 2, 3]
    # The host gave up an earlier one of them, whose acknowledgement was lost.
    replay(world.context, kept(world, BUILDS, bodies[0]))
    ((body, _),) = world.queue.take(BUILDS)
    start_build(world.context, StartBuild.decode(body), "me")

    assert len(world.queue.take(BUILDS)) == 1


def test_a_letter_replayed_twice_is_one_letter(world: World) -> None:
    """Whatever its spelling: its bytes go back, and when they die again it is the same letter."""
    bodies = ['{"a": 1}', '{ "schema": 1, "push": "x" }', '{"ü": 1}', "{", put_back("{}", AT)]
    bodies += ['{"schema":2,"wait":1}', StartBuild(PUSH, task().id, wait=3).encode()]
    for body in bodies:
        kept(world, BUILDS, body)
    first = {letter.id for letter in world.context.dead_letters.all()}
    for _ in range(3):
        world.time.pass_(60)
        for letter in chosen_letters(world.context, [], everything=True):
            replay(world.context, letter)
        world.time.pass_(60)
        sent = [body for body, _ in world.queue.take(BUILDS)]
        world.queue.poison = [
            PoisonMessage(BUILDS, body, world.time.now, (body, "r")) for body in sent
        ]
        collect_dead_letters(world.context)
    assert len(sent) == len(bodies)
    assert bodies[:-1] == sorted(sent, key=_place(bodies))[:-1]

    now = {letter.id for letter in world.context.dead_letters.all()}
    # The build's place among those that wait was all that was not the letter's own.
    assert len(now - first) == 1
    assert len(chosen_letters(world.context, [], everything=True)) == len(bodies)


def _place(bodies: list[str]) -> Callable[[str], int]:
    return lambda body: bodies.index(body) if body in bodies else len(bodies)


def test_a_letter_may_be_discarded(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It is gone, and the log keeps what it said; others stay."""
    bad, good = kept(world, BUILDS, '"\\ud800"'), kept(world, PUSHES, "x")
    discard(world.context, bad)
    discard(world.context, bad)

    assert world.context.dead_letters.all() == [good]
    assert f"dead letter {bad.id} of {BUILDS} discarded: '\"\\\\ud800\"'" in caplog.text


@pytest.mark.parametrize(
    "error", [Refused("413", "too large"), TransientError("no answer"), KeyError("unforeseen")]
)
def test_one_that_cannot_be_put_back_keeps_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It waits on, with its reason; the others are replayed."""
    real = world.queue.send

    def send(queue: str, body: str, delay: timedelta = timedelta()) -> None:
        if body == "bad":
            raise error
        real(queue, body, delay)

    monkeypatch.setattr(world.queue, "send", send)
    letters = [kept(world, BUILDS, body) for body in ("one", "bad", "two")]
    outcomes = [outcome for _, outcome in replay_each(world.context, letters)]

    assert outcomes[::2] == [f"back in {BUILDS}"] * 2
    assert outcomes[1] is error or isinstance(outcomes[1], Unforeseen)
    assert chosen_letters(world.context, [], everything=True) == [letters[1]]


def test_a_store_that_is_out_of_order_is_not_asked_for_each(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few in a row the rest is left for another time."""

    def failing(*_: object) -> None:
        raise TransientError("no connection")

    monkeypatch.setattr(world.queue, "send", failing)
    letters = [kept(world, BUILDS, str(number)) for number in range(10)]

    assert len(list(replay_each(world.context, letters))) == 3


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
    assert {body for body, _ in world.queue.take(BUILDS)} == {afresh(letter.body)}


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


def head(world: World, state: State, push: str = PUSH.key, lease: timedelta = timedelta()) -> None:
    """Store a task's only rebuild."""
    assert world.ledger.claim(
        Rebuild(
            task().id, 1, "k" * 64, (f"{NODE}@{NEW}",), push, state,
            world.time.now, "me", world.time.now + lease,
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
    assert (message.push.key, message.task, message.forced) == (PUSH.key, task().id, True)


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
        world.ledger.record_events([push], world.time.now + timedelta(seconds=number))
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
