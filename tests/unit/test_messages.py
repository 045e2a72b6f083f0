from __future__ import annotations

import json
from copy import replace
from datetime import UTC, datetime

import pytest

from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.acts import Act, Scope, Target, What
from rebuilder.core.rebuilds.judged import problem
from rebuilder.core.rebuilds.messages import (
    ACTS,
    BUILDS,
    EVENTS,
    PUSHES,
    REFRESH,
    RUNS,
    OperatorAct,
    PlanRebuilds,
    Refresh,
    StartBuild,
    TrackBuild,
    afresh,
    put_back,
    queued_event,
)
from rebuilder.errors import InvalidMessage
from tests.unit.fakes import BASE, NEW, task

PUSH = Push(BASE, "images/node", "9", NEW, datetime(2026, 1, 1, tzinfo=UTC), "event-1")
WITHOUT_TIME = Push(BASE, "images/node", "9", NEW, None, "")

ACT = Act(
    "a1",
    What.PAUSE,
    Target(Scope.TASK, "myapps/*"),
    "ann",
    "bad base",
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 2, tzinfo=UTC),
)

# What the host calls its own; it writes a message's keys over these, in any case.
METADATA = {
    "id",
    "popreceipt",
    "dequeuecount",
    "expirationtime",
    "insertiontime",
    "nextvisibletime",
    "queuetrigger",
}


@pytest.mark.parametrize(
    "message",
    [
        PlanRebuilds(PUSH),
        PlanRebuilds(WITHOUT_TIME),
        StartBuild(PUSH, task().id),
        TrackBuild(task().id, 2, 3),
        Refresh(BASE, None, datetime(2026, 1, 1, tzinfo=UTC)),
        Refresh.of(task().id, datetime(2026, 1, 1, tzinfo=UTC)),
        Refresh.of(task().id, datetime(2026, 1, 1, tzinfo=UTC), looks=0),
        Refresh(BASE, None, datetime(2026, 1, 1, tzinfo=UTC), changes=True),
        OperatorAct(ACT),
    ],
)
def test_messages_come_back_as_they_were(
    message: PlanRebuilds | StartBuild | TrackBuild | Refresh | OperatorAct,
) -> None:
    """Encoding and decoding are inverse, and no key hides the host's metadata."""
    text = message.encode()

    assert type(message).decode(text) == message
    keys = {part.partition('"')[0].lower() for part in text.replace('{"', ',"').split(',"')}
    assert not keys & METADATA


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "7",
        "{}",
        '{"schema":2}',
        '{"schema":1}',
        '{"schema":1,"push":"a|b","pushedAt":null,"event":""}',
        '{"schema":1,"push":"a|b|c|d","pushedAt":null,"event":""}',
        '{"schema":1,"push":7,"pushedAt":null,"event":""}',
        '{"schema":1,"push":null,"task":7,"registry":[],"sequence":{},"record":true}',
        '"\\ud800"',
        '{"schema":1,"push":"\\ud800"}',
        '{"schema":1,"event":"' + "x" * (1 << 22) + '"}',
        '{"schema":' + "9" * 5000 + "}",
        '{"schema":1e999}',
        '{"schema":"é"}',
        '{"schema":1,"é":1,"push":"é|é|é|é","pushedAt":null,"event":""}',
        "[" * 100_000,
        '{"schema":1,"push":' + "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
@pytest.mark.parametrize("kind", [PlanRebuilds, StartBuild, TrackBuild, Refresh])
def test_other_texts_are_refused(
    kind: type[PlanRebuilds | StartBuild | TrackBuild | Refresh], body: str
) -> None:
    """What is not one of our messages is a clear, permanent error."""
    with pytest.raises(InvalidMessage) as raised:
        kind.decode(body)
    assert str(raised.value).isascii()
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("push", PUSH.key.replace("images/node", "../node")),
        ("push", PUSH.key.replace("|9|", "|-9|")),
        ("push", PUSH.key.replace("|9|", "||")),
        ("push", PUSH.key.replace(NEW, "sha256:1")),
        ("push", f"{PUSH.key}|"),
        ("pushedAt", "0001-01-01T00:00:00+23:59"),
        ("pushedAt", "9999-12-31T23:59:59-14:00"),
        ("pushedAt", "soon"),
        ("pushedAt", 7),
        ("event", ...),
        ("turn", "0001-01-01T00:00:00+14:00"),
        ("turn", 7),
        ("wait", -1),
        ("wait", 1 << 31),
        ("wait", "x"),
        ("task", "x"),
    ],
)
def test_a_field_that_cannot_be_is_refused(name: str, value: object) -> None:
    """No field gets further than the reader, whatever stands in it."""
    values = json.loads(StartBuild(PUSH, task().id).encode())
    assert StartBuild.decode(json.dumps(values)).push == PUSH
    values[name] = value
    if value is ...:
        del values[name]
    with pytest.raises(InvalidMessage):
        StartBuild.decode(json.dumps(values))


def test_times_come_in_utc() -> None:
    """Whatever zone they were written in, they can be shown."""
    values = json.loads(PlanRebuilds(PUSH).encode()) | {"pushedAt": "2026-01-01T02:00:00+02:00"}
    read = PlanRebuilds.decode(json.dumps(values)).push.pushed_at

    assert read == PUSH.pushed_at
    assert read is not None
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "body",
    [
        *("{", "7", "[]", '{"a": 1, "tries": 3}', '{"schema":2,"wait":1}', '{ "schema": 1 }'),
        *("[" * 100_000, '{"schema": 1, "x": "\\ud800", "wait": 1}'),
    ],
)
def test_what_has_collected_nothing_stays_to_the_letter(body: str) -> None:
    """Neither the spelling nor what is none of ours changes."""
    assert afresh(body) == body


def test_what_was_collected_is_left_behind() -> None:
    """Once and for all: however often it is done, it is the same text."""
    message = StartBuild(PUSH, task().id, forced=True)
    collected = replace(message, wait=7, turn=datetime(2026, 1, 1, tzinfo=UTC))
    body = put_back(collected.encode(), datetime(2026, 1, 1, tzinfo=UTC))

    assert afresh(body) == afresh(message.encode()) == afresh(afresh(body))
    assert StartBuild.decode(afresh(body)) == message


@pytest.mark.parametrize(
    ("queue", "message"),
    [
        (PUSHES, PlanRebuilds(PUSH)),
        (BUILDS, StartBuild(PUSH, task().id)),
        (RUNS, TrackBuild(task().id, 2, 3)),
        (REFRESH, Refresh(BASE, None, datetime(2026, 1, 1, tzinfo=UTC))),
        (ACTS, OperatorAct(ACT)),
    ],
)
def test_whether_a_queue_knows_a_message(
    queue: str, message: PlanRebuilds | StartBuild | TrackBuild | Refresh | OperatorAct
) -> None:
    """Of one that it does not know, the reason is told."""
    assert problem(queue, message.encode()) is None
    assert str(problem(queue, "hello")).startswith("InvalidJson: not JSON")


def test_an_event_that_was_put_back_is_the_same_event() -> None:
    """What it collected is left behind; so its dead letter is one, however often it is given up."""
    for body in ('{"specversion":"1.0","id":"1"}', '{"eventType":"x","id":"1"}'):
        again = put_back(put_back(body, datetime(2026, 1, 1, tzinfo=UTC)), datetime.now(UTC))

        assert again != body
        assert afresh(again) == body
        assert problem(EVENTS, again) is None


@pytest.mark.parametrize("body", ["", "[]", "no", '"text"', "\ud800"])
def test_what_is_no_event_is_told(body: str) -> None:
    """Event Grid writes one object into each message."""
    with pytest.raises(InvalidMessage, match="no event: "):
        queued_event(body)
    assert "no event: " in str(problem(EVENTS, body))
