from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rebuilder.core.events import Push
from rebuilder.core.messages import PlanRebuilds, Refresh, StartBuild, TrackBuild
from rebuilder.errors import InvalidMessage
from tests.unit.fakes import BASE, NEW, task

PUSH = Push(BASE, "images/node", "9", NEW, datetime(2026, 1, 1, tzinfo=UTC), "event-1")
WITHOUT_TIME = Push(BASE, "images/node", "9", NEW, None, "")

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
    ],
)
def test_messages_come_back_as_they_were(
    message: PlanRebuilds | StartBuild | TrackBuild | Refresh,
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
    ],
)
@pytest.mark.parametrize("kind", [PlanRebuilds, StartBuild, TrackBuild, Refresh])
def test_other_texts_are_refused(
    kind: type[PlanRebuilds | StartBuild | TrackBuild | Refresh], body: str
) -> None:
    """What is not one of our messages is a clear, permanent error."""
    with pytest.raises(InvalidMessage):
        kind.decode(body)
