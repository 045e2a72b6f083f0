from __future__ import annotations

import json
from collections.abc import Callable
from copy import replace
from datetime import UTC, datetime, timedelta

import pytest

from functions import collect_dead_letters as function
from rebuilder import composition
from rebuilder.core.events.dead_events import read_dead_events
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    REFRESH,
    RUNS,
    PlanRebuilds,
    StartBuild,
    put_back,
)
from rebuilder.errors import Denied, RebuilderError, Refused, TransientError
from rebuilder.ports.queue import PoisonMessage
from rebuilder.usecases.context import Context
from rebuilder.usecases.recovery.collect_dead_letters import (
    NO_REASON,
    NOT_ENCODED,
    collect_dead_letters,
)
from rebuilder.usecases.recovery.delivery import deliver
from tests.unit.fakes import BASE, NEW, World, task

AT = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
NOW = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)
PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
EVENT = {"id": "e1", "topic": str(BASE), "subject": "node:9", "eventType": "x", "data": {}}
CLOUD = {"specversion": "1.0", "id": "e1", "source": str(BASE), "type": "x", "data": {}}
ADDED = {
    "deadLetterReason": "MaxDeliveryAttemptsExceeded",
    "deliveryAttempts": 30,
    "lastDeliveryOutcome": "TimedOut",
    "publishTime": "2026-01-01T03:00:00Z",
    "lastDeliveryAttemptTime": "2026-01-02T03:00:00Z",
}


def poison(queue: str, body: str, at: datetime = AT) -> PoisonMessage:
    """Return a message that the host gave up."""
    return PoisonMessage(queue, body, at, (body, "receipt"))


def test_messages_of_every_queue_are_kept_with_their_reason(world: World) -> None:
    """The reason is the last one recorded; a function that died left none, which is said."""
    world.context.dead_letters.record_failure(BUILDS, "b", "KeyError: 'x'", AT)
    world.queue.poison = [poison(queue, queue[10]) for queue in (BUILDS, RUNS, REFRESH)]
    world.queue.poison.append(poison(PUSHES, PlanRebuilds(PUSH).encode()))

    assert collect_dead_letters(world.context) == 4
    kept = {letter.source: letter for letter in world.context.dead_letters.all()}
    assert set(kept) == {PUSHES, BUILDS, RUNS, REFRESH}
    assert kept[BUILDS] == DeadLetter(Origin.QUEUE, BUILDS, "b", "KeyError: 'x'", AT)
    assert kept[PUSHES].reason == NO_REASON
    assert world.queue.poison == []


def test_what_no_function_was_given_is_told(world: World) -> None:
    """A text that is not Base64, or no message of ours, did not die in a function."""
    plain = PlanRebuilds(PUSH).encode()
    world.queue.poison = [
        replace(poison(PUSHES, plain), encoded=False),
        poison(BUILDS, '{"hello": "world"}'),
        poison(RUNS, '{"task": "\\ud800"}'),
    ]
    collect_dead_letters(world.context)

    kept = {letter.source: letter for letter in world.context.dead_letters.all()}
    assert kept[PUSHES].reason == NOT_ENCODED
    assert "not in Base64" in NOT_ENCODED
    assert kept[BUILDS].reason == "KeyError: 'schema' in '{\"hello\": \"world\"}'"
    assert kept[RUNS].reason.startswith("InvalidJson: a lone surrogate")
    assert all(letter.reason.isascii() for letter in kept.values())


def test_wherever_a_message_dies_it_is_one_letter(world: World) -> None:
    """What it collected on its way, in either place, makes no letter of its own."""
    build = StartBuild(PUSH, task().id)
    waiting = replace(build, wait=3, turn=AT)
    for message in (build, waiting):
        deliver(world.context, BUILDS, message.encode(), _denied)
    bodies = [put_back(waiting.encode(), AT), replace(build, wait=9).encode()]
    world.queue.poison = [poison(BUILDS, body) for body in bodies]
    collect_dead_letters(world.context)

    (letter,) = world.context.dead_letters.all()
    assert StartBuild.decode(letter.body) == build


def _denied(context: Context, body: str) -> None:
    del context, body
    raise Denied("no role")


@pytest.mark.parametrize("error", [Refused("413", "too large"), TransientError("no answer")])
def test_one_that_cannot_be_kept_does_not_keep_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch, error: RebuilderError
) -> None:
    """Messages and blobs beside it are collected; it stays where it lies, and is told."""
    real = world.context.dead_letters.record

    def record(letter: DeadLetter) -> None:
        if "bad" in letter.body:
            raise error
        real(letter)

    monkeypatch.setattr(world.context.dead_letters, "record", record)
    world.queue.poison = [poison(BUILDS, body) for body in ("bad", "good")]
    for name in ("bad", "good"):
        world.dead_events.blobs[name] = json.dumps({**EVENT, "id": name}).encode()
    with pytest.raises(type(error)):
        collect_dead_letters(world.context)

    assert {letter.body for letter in world.context.dead_letters.all()} == {
        "good",
        json.dumps({**EVENT, "id": "good"}, separators=(",", ":")),
    }
    assert [message.body for message in world.queue.poison] == ["bad"]
    assert set(world.dead_events.blobs) == {"bad"}


def test_undelivered_events_are_kept_with_event_grids_reason(world: World) -> None:
    """One dead letter per event, as the event was, from the topic it came from."""
    world.dead_events.blobs["t/s/1.json"] = json.dumps([{**EVENT, **ADDED}]).encode()

    assert collect_dead_letters(world.context) == 1
    (letter,) = world.context.dead_letters.all()
    assert json.loads(letter.body) == EVENT
    assert (letter.origin, letter.source, letter.at) == (Origin.EVENT, str(BASE), AT)
    assert letter.reason == (
        "Event Grid could not deliver it (30 attempts): MaxDeliveryAttemptsExceeded;"
        " the last attempt ended in TimedOut"
    )
    assert world.dead_events.blobs == {}


@pytest.mark.parametrize(
    "added",
    [
        {name.lower(): value for name, value in ADDED.items()},
        {
            "brokerProperties": {
                "deadletterreason": "MaxDeliveryAttemptsExceeded",
                "deliveryattempts": 30,
                "deliveryresult": "TimedOut",
                "publishtime": "2026-01-02T03:00:00",
            }
        },
    ],
)
def test_cloud_events_tell_it_in_their_own_words(added: dict[str, object]) -> None:
    """Lower case, or in an object of its own: the same dead letter comes of it."""
    (letter,) = read_dead_events("blob", json.dumps({**CLOUD, **added}).encode(), NOW)

    assert json.loads(letter.body) == CLOUD
    assert (letter.source, letter.at) == (str(BASE), AT)
    assert letter.reason.startswith("Event Grid could not deliver it (30 attempts): MaxDelivery")
    assert letter.reason.endswith("the last attempt ended in TimedOut")


def test_an_event_that_several_subscriptions_gave_up_is_one() -> None:
    """What each subscription added makes no difference."""
    content = json.dumps([{**EVENT, **ADDED}, {**EVENT, "deadLetterReason": "TimeToLive"}])
    first, second = read_dead_events("blob", content.encode(), NOW)

    assert first.id == second.id
    assert second.reason == "Event Grid could not deliver it: TimeToLive"
    assert second.at == NOW


def test_who_did_it_is_not_kept() -> None:
    """Of the data only what the product reads: no person, no address, no claims."""
    data = {"resourceUri": "/x", "claims": {"name": "Ada"}, "httpRequest": {"clientIpAddress": "1"}}
    (letter,) = read_dead_events("B", json.dumps({**EVENT, "data": data}).encode(), NOW)

    assert json.loads(letter.body)["data"] == {"resourceUri": "/x"}


@pytest.mark.parametrize(
    ("content", "body", "reason"),
    [
        (b"{", "{", "blob B cannot be read: not JSON: Expecting property name"),
        (b"\xff[]", "\ufffd[]", "blob B cannot be read: not UTF-8; its text is kept"),
        (b"[" * 9000, "[" * 8192, "its text is kept up to byte 8192 of 9000"),
        (b"[1" + b"1" * 5000 + b"]", "[" + "1" * 5001 + "]", "a number of more than 40 digits"),
        (b" " * (1 << 22) + b"{}", " " * 8192, "longer than 4194304 bytes; its text is kept up"),
        (b"[7]", "7", "Event Grid put int where an event should be"),
        (b"[{}]", "{}", "Event Grid could not deliver it: no reason given"),
    ],
)
def test_what_is_no_event_is_kept_too(content: bytes, body: str, reason: str) -> None:
    """Whatever stands in a blob becomes a dead letter of bounded size."""
    (letter,) = read_dead_events("B", content, NOW)

    assert (letter.body, letter.source, letter.at) == (body, "event grid", NOW)
    assert reason in letter.reason


def test_half_a_character_costs_no_other_event() -> None:
    """The blob's events are all there, and what is half becomes a question mark."""
    bad, good = {**EVENT, "id": "\ud800", "topic": "\udfff"}, {**EVENT, "id": "e2"}
    letters = read_dead_events("B", json.dumps([bad, good]).encode(), NOW)

    assert [json.loads(letter.body)["id"] for letter in letters] == ["?", "e2"]
    assert [letter.source for letter in letters] == ["?", str(BASE)]


def test_an_event_that_no_store_takes_is_cut() -> None:
    """What is left out is said; every other event of the blob is whole."""
    long = {**EVENT, "data": {"target": "x" * 300_000}, "deliveryAttempts": [1] * 1000}
    first, second = read_dead_events("B", json.dumps([long, EVENT]).encode(), NOW)

    body = json.loads(first.body)
    assert (body["id"], body["topic"]) == (EVENT["id"], EVENT["topic"])
    assert "... (300000 characters, " in body["data"]["target"]
    assert len(first.body) < 1000
    assert len(first.reason) < 200
    assert json.loads(second.body) == EVENT


@pytest.mark.parametrize(
    "time",
    ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-14:00", "9" * 5000, 7, None, ["x"]],
)
def test_a_time_that_cannot_be_is_now(time: object) -> None:
    """Nothing of what an event tells makes the letter unusable."""
    content = json.dumps({**EVENT, "lastDeliveryAttemptTime": time}).encode()
    (letter,) = read_dead_events("B", content, NOW)

    assert letter.at == NOW


def test_an_empty_blob_is_no_dead_letter() -> None:
    """An array of no events holds nothing to keep."""
    assert read_dead_events("B", b"[]", NOW) == []


class Killed(BaseException):
    """The process ends here."""


def dying(work: Callable[..., None], after: bool) -> Callable[..., None]:  # noqa: FBT001
    """Return a call that ends the process before or after its effect."""

    def call(*arguments: object) -> None:
        if after:
            work(*arguments)
        raise Killed

    return call


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("where", ["record", "forget", "blob"])
def test_a_death_anywhere_loses_and_doubles_nothing(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    after: bool,  # noqa: FBT001
) -> None:
    """The next collection goes on; each dead letter is there once."""
    world.queue.poison = [poison(BUILDS, "b")]
    world.dead_events.blobs["1.json"] = json.dumps([{**EVENT, **ADDED}]).encode()
    with monkeypatch.context() as patch:
        target, name = {
            "record": (type(world.context.dead_letters), "record"),
            "forget": (type(world.queue), "forget"),
            "blob": (type(world.dead_events), "forget"),
        }[where]
        patch.setattr(target, name, dying(getattr(target, name), after))
        with pytest.raises(Killed):
            collect_dead_letters(world.context)
    collect_dead_letters(world.context)

    assert sorted(letter.source for letter in world.context.dead_letters.all()) == sorted(
        [BUILDS, str(BASE)]
    )
    assert world.queue.poison == []
    assert world.dead_events.blobs == {}


def test_one_place_that_fails_does_not_keep_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could be collected is; the failure is raised for the host to see."""
    real = world.queue.poisoned

    def poisoned(queue: str) -> list[PoisonMessage]:
        if queue == PUSHES:
            raise TransientError("no connection")
        return real(queue)

    monkeypatch.setattr(world.queue, "poisoned", poisoned)
    world.queue.poison = [poison(BUILDS, "b")]
    with pytest.raises(TransientError):
        collect_dead_letters(world.context)

    assert [letter.source for letter in world.context.dead_letters.all()] == [BUILDS]


def test_a_store_that_never_runs_out_ends_the_collection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, one collection takes a bounded number; the next goes on."""
    endless = poison(BUILDS, "b")
    monkeypatch.setattr(world.queue, "poisoned", lambda queue: [endless] * (queue == BUILDS))
    monkeypatch.setattr(world.queue, "forget", lambda _: None)
    monkeypatch.setattr(world.dead_events, "forget", lambda _: None)
    world.dead_events.blobs["1.json"] = json.dumps([EVENT]).encode()

    assert collect_dead_letters(world.context) == 100
    assert len(world.context.dead_letters.all()) == 2


def test_a_replayed_message_that_fails_again_is_open_again(world: World) -> None:
    """The reason and the time are those of the last failure."""
    world.queue.poison = [poison(BUILDS, "b")]
    collect_dead_letters(world.context)
    (letter,) = world.context.dead_letters.all()
    world.context.dead_letters.mark_replayed(letter.id, AT + timedelta(minutes=1))
    world.queue.poison = [poison(BUILDS, "b", AT + timedelta(minutes=2))]
    collect_dead_letters(world.context)

    (again,) = world.context.dead_letters.all()
    assert again.replayed_at is None
    assert again.at == AT + timedelta(minutes=2)


def test_the_timer_collects(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function does what the use case does, every five minutes unless told otherwise."""
    monkeypatch.setattr(composition, "compose", lambda: world.context)
    world.queue.poison = [poison(RUNS, "r")]
    (built,) = function.blueprint._function_builders
    built._function._func(None)

    trigger = built._function.get_trigger()
    assert trigger is not None
    assert trigger.get_dict_repr()["schedule"] == "30 */5 * * * *"
    assert [letter.source for letter in world.context.dead_letters.all()] == [RUNS]
