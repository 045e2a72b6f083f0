"""What becomes of a queue message: worked off, put back, given up, or left to the host."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import azure.functions as func
import pytest

from functions._messages import text
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.rebuilds.messages import BUILDS, StartBuild, afresh, put_back, tried_since
from rebuilder.errors import (
    Conflict,
    Denied,
    InvalidMessage,
    NewerStore,
    OutcomeUnknown,
    RebuilderError,
    Refused,
    Throttled,
    TransientError,
)
from rebuilder.sqlite.dead_letters import SqliteDeadLetters
from rebuilder.usecases.context import Context
from rebuilder.usecases.recovery.delivery import deliver
from tests.unit.fakes import FakeQueue, World

BODY = '{"schema":1,"task":"t"}'


def failing(error: Exception) -> Callable[[Context, str], object]:
    """Return work that fails."""

    def work(context: Context, body: str) -> None:
        del context, body
        raise error

    return work


def letters(world: World) -> list[DeadLetter]:
    """Return what was given up."""
    return world.context.dead_letters.all()


def test_a_message_that_is_worked_off_is_done(world: World) -> None:
    """The use case gets the context and the text; nothing else happens."""
    given: list[tuple[Context, str]] = []

    deliver(world.context, BUILDS, BODY, lambda context, body: given.append((context, body)))

    assert given == [(world.context, BODY)]
    assert not world.queue.sent
    assert not letters(world)


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        (timedelta(seconds=7), timedelta(seconds=7)),
        (None, timedelta(seconds=30)),
        (timedelta(), timedelta(seconds=1)),
    ],
)
def test_a_throttled_message_waits_as_long_as_was_asked(
    world: World, asked: timedelta | None, least: timedelta
) -> None:
    """It waits at least so long and at most twice, and that is not counted."""
    deliver(world.context, BUILDS, BODY, failing(Throttled("too many", asked)))

    [(queue, body, delay)] = world.queue.sent
    assert (queue, body) == (BUILDS, BODY)
    assert least <= delay <= 2 * least
    assert not letters(world)


def test_a_thousand_throttled_messages_do_not_all_knock_at_once(world: World) -> None:
    """No tenth of the time that they are spread over sees more than a fifth of them."""
    for number in range(1000):
        error = Throttled("too many", timedelta(seconds=10))
        deliver(world.context, BUILDS, f'{{"task":"{number}"}}', failing(error))

    tenths = [int(delay / timedelta(seconds=1)) for _, _, delay in world.queue.sent]
    assert max(tenths.count(tenth) for tenth in range(10, 21)) < 200


@pytest.mark.parametrize(
    "error", [TransientError("no answer"), OutcomeUnknown("cut"), Conflict("changed")]
)
def test_a_service_out_of_order_puts_the_message_back(world: World, error: TransientError) -> None:
    """Each time later, and the message says how often and since when."""
    body, waits = BODY, []
    for _ in range(9):
        deliver(world.context, BUILDS, body, failing(error))
        [(body, delay)] = world.queue.take(BUILDS)
        waits.append(delay.total_seconds())
        world.time.pass_(delay.total_seconds())

    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert tried_since(body) == (9, world.time.now - timedelta(seconds=sum(waits)))
    assert not letters(world)


def test_a_message_is_given_up_when_its_time_is_over(world: World) -> None:
    """It is kept with the last reason, as it was first sent, and is acknowledged."""
    body = put_back(put_back(BODY, world.time.now), world.time.now)
    world.time.pass_(world.settings.message_limit.total_seconds())

    deliver(world.context, BUILDS, body, failing(TransientError("ARM did not answer")))

    assert not world.queue.sent
    [letter] = letters(world)
    assert (letter.origin, letter.source, letter.body) == (Origin.QUEUE, BUILDS, BODY)
    assert letter.reason == "put back 2 times since 2026-01-02 03:04:05 UTC: ARM did not answer"
    assert letter.at == world.time.now


@pytest.mark.parametrize(
    "error", [InvalidMessage("schema 9"), Denied("no role"), Refused("No", "never")]
)
def test_what_trying_again_does_not_help_is_given_up_at_once(
    world: World, error: RebuilderError
) -> None:
    """It is kept with its reason, and acknowledged."""
    deliver(world.context, BUILDS, "not JSON", failing(error))

    assert [(letter.body, letter.reason) for letter in letters(world)] == [("not JSON", str(error))]
    assert not world.queue.sent


def test_a_text_that_is_no_message_is_given_up(world: World) -> None:
    """Decoding is part of the work."""
    deliver(world.context, BUILDS, "[]", lambda _, body: StartBuild.decode(body))

    assert [letter.body for letter in letters(world)] == ["[]"]


def test_an_unforeseen_error_is_left_to_the_host(world: World) -> None:
    """It is raised, and its reason is there when the host gives the message up."""
    with pytest.raises(KeyError):
        deliver(world.context, BUILDS, BODY, failing(KeyError("x")))

    assert world.context.dead_letters.failure(BUILDS, BODY) == "KeyError: 'x'"
    assert not letters(world)
    assert not world.queue.sent


class BrokenQueue(FakeQueue):
    """A queue that takes nothing."""

    def send(self, queue: str, body: str, delay: timedelta = timedelta()) -> None:
        """Fail."""
        del queue, body, delay
        raise TransientError("the queues are out of order")


@pytest.mark.parametrize("error", [TransientError("no answer"), Throttled("too many")])
def test_what_cannot_be_put_back_is_left_to_the_host(world: World, error: TransientError) -> None:
    """Nothing accepted is lost: the message is not acknowledged."""
    context = replace(world.context, queue=BrokenQueue())

    with pytest.raises(TransientError, match="queues are out of order"):
        deliver(context, BUILDS, BODY, failing(error))

    reason = world.context.dead_letters.failure(BUILDS, BODY)
    assert reason == "TransientError: the queues are out of order"


def test_what_is_for_newer_code_is_neither_counted_nor_given_up(world: World) -> None:
    """However long that takes: it waits as it is."""
    tried = put_back(BODY, world.time.now)
    world.time.pass_(14 * 86_400)
    deliver(world.context, BUILDS, tried, failing(NewerStore("the store", 99, 3)))

    assert world.queue.take(BUILDS) == [(tried, timedelta(minutes=10))]
    assert not letters(world)


class BrokenLetters(SqliteDeadLetters):
    """A store that takes nothing."""

    def record_failure(self, queue: str, body: str, reason: str, at: datetime) -> None:
        """Fail."""
        del queue, body, reason, at
        raise TransientError("the tables are out of order")

    def record(self, letter: DeadLetter) -> None:
        """Fail."""
        del letter
        raise TransientError("the tables are out of order")


@pytest.mark.parametrize(
    ("error", "raised"),
    [(Denied("no role"), "tables are out of order"), (KeyError("unforeseen"), "unforeseen")],
)
def test_what_cannot_be_kept_is_left_to_the_host(
    world: World, tmp_path: Path, error: Exception, raised: str
) -> None:
    """The first error is what the host sees, even if its reason cannot be remembered."""
    context = replace(world.context, dead_letters=BrokenLetters(tmp_path / "letters.db"))

    with pytest.raises((TransientError, KeyError), match=raised):
        deliver(context, BUILDS, BODY, failing(error))


def test_a_message_is_made_as_it_was_before() -> None:
    """What counts its failures is not part of it."""
    now = datetime(2026, 1, 1, tzinfo=UTC)

    assert afresh(put_back(put_back(BODY, now), now)) == BODY
    assert afresh(BODY) == BODY
    assert afresh("no JSON") == "no JSON"


@pytest.mark.parametrize(
    "values",
    [{"tries": "x"}, {"tries": 1e999}, {"tries": None}, {"since": 7}, {"since": "2026-01-01"}],
)
def test_strange_counts_count_nothing(values: dict[str, object]) -> None:
    """A count or a time that nobody of us wrote starts anew."""
    body = json.dumps({**json.loads(BODY), **values})

    assert tried_since(body) == (0, None)


def test_what_is_no_utf8_is_a_text_all_the_same() -> None:
    """The host does the same; the reason for its dead letter is then that it is no message."""
    assert text(func.QueueMessage(body=b'{"a":"\xff"}')) == '{"a":"\ufffd"}'
