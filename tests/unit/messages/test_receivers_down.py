"""A thousand messages, and a receiver that is down, slow, failing or redirecting: none is lost."""

from __future__ import annotations

from collections import Counter
from copy import replace
from datetime import timedelta
from threading import Barrier, Event, Thread

import pytest

from rebuilder.core.messages import queued
from rebuilder.core.messages.destinations import Destination
from rebuilder.core.messages.happening import Happening
from rebuilder.core.messages.queued import ToBeTold, ToSend
from rebuilder.core.messages.rules import What
from rebuilder.core.rebuilds.messages import MESSAGES
from rebuilder.errors import NotFound, Refused, Throttled, TransientError
from rebuilder.settings.table import DESTINATIONS
from rebuilder.usecases.messages.lines import AT_ONCE, Lines
from rebuilder.usecases.messages.send import send_message
from tests.patience import SECONDS
from tests.unit.fakes import World
from tests.unit.messages.making import FLUX, TEAM, Telling, failing

# Long, and what it goes through is measured by others.
pytestmark = pytest.mark.unmeasured

MANY = 1000
HOUR = timedelta(hours=1)
POLICY = "messages: [{name: all, to: [flux, team]}]"


@pytest.fixture(name="telling")
def _telling(world: World) -> Telling:
    return Telling(world, POLICY)


def happening(number: int, telling: Telling) -> Happening:
    """Return something that happened."""
    about = f"myapps/t{number}"
    return Happening(What.REBUILT, f"r{number}", about, about, telling.time.now, "it", about)


def put(telling: Telling, many: int = MANY) -> None:
    """Have so much to be told."""
    for number in range(many):
        telling.queue.send(MESSAGES, ToBeTold(happening(number, telling)).encode())


@pytest.mark.parametrize(
    "error",
    [
        TransientError("tell flux: no usable answer (ConnectTimeout)"),  # down
        TransientError("tell flux took longer than 10 seconds"),  # slow
        TransientError("tell flux: HTTP 500"),
        TransientError("tell flux: HTTP 302; redirects are not followed"),
        Throttled("tell flux: HTTP 503", timedelta(minutes=2)),
        Throttled("tell flux: HTTP 429"),
    ],
    ids=["down", "slow", "failing", "redirecting", "busy", "throttling"],
)
def test_each_message_arrives_once_its_receiver_takes_it(
    telling: Telling, error: TransientError
) -> None:
    """After an hour; the other receiver is told at once, and the one that is down is left alone."""
    began = telling.time.now
    down = {"flux"}

    def answer(to: Destination) -> None:
        if to.name in down and telling.time.now < began + HOUR:
            raise error

    telling.receivers.answer = answer
    put(telling)
    telling.run(began + timedelta(minutes=1))
    assert len({title for name, title, _ in telling.receivers.told if name == "team"}) == MANY
    assert not telling.receivers.events
    telling.run(began + HOUR)
    # By how often it was asked, it cannot tell that a thousand messages wait for it.
    assert telling.receivers.asked["flux"] < 100
    telling.run()

    ids = Counter(str(event["id"]) for _, event in telling.receivers.events)
    assert ids == Counter({f"r{number}": 1 for number in range(MANY)})
    assert len(telling.receivers.told) == MANY
    assert telling.context.dead_letters.all() == []
    assert telling.time.now < began + 2 * HOUR


def test_what_is_never_taken_becomes_a_dead_letter(telling: Telling) -> None:
    """After a day; replayed once the receiver is back, each arrives."""
    telling.receivers.answer = failing(TransientError("tell flux: HTTP 500"))
    began = telling.time.now
    put(telling, 3)
    telling.run()

    letters = telling.context.dead_letters.waiting()
    assert len(letters) == 6
    limit = telling.context.settings.message_limit
    assert began + limit <= telling.time.now < began + 2 * limit
    assert all(isinstance(queued.decode(letter.body), ToSend) for letter in letters)
    telling.receivers.answer = lambda _: None
    telling.context = replace(telling.context, lines=Lines())
    for letter in letters:
        telling.queue.send(letter.source, letter.body)
    telling.run()
    assert {str(event["id"]) for _, event in telling.receivers.events} == {"r0", "r1", "r2"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Refused("HTTP400", "tell flux: it does not take this message"), "HTTP400: tell flux"),
        (None, "REBUILDER_DESTINATIONS has nobody of the name 'nobody'"),
    ],
)
def test_what_would_never_be_taken_becomes_a_dead_letter_at_once(
    world: World, error: Refused | None, reason: str
) -> None:
    """With its reason; nothing else waits for it."""
    telling = Telling(world, f"messages: [{{name: a, to: [{'flux' if error else 'nobody'}]}}]")
    telling.receivers.answer = (lambda _: None) if error is None else failing(error)
    put(telling, 1)
    assert telling.run() == 2

    (letter,) = telling.context.dead_letters.waiting()
    assert letter.reason.startswith(reason)


def test_whom_messages_go_to_is_waited_for_while_its_secret_cannot_be_read(world: World) -> None:
    """Nobody may say that there is no such name; when it is read, the message is told."""
    telling = Telling(world, "messages: [{name: a, to: [flux]}]")
    known = telling.context
    why = "https://kv1.vault.azure.net/secrets/people: there is none"
    unread = replace(known.settings, destinations=(), unread=((DESTINATIONS, why),))
    telling.context = replace(known, settings=unread)
    message = ToSend(happening(0, telling), FLUX.name, telling.time.now)
    with pytest.raises(TransientError, match="secrets/people: there is none"):
        send_message(telling.context, message)

    telling.context = known
    send_message(telling.context, message)
    assert len(telling.receivers.events) == 1


def test_a_slow_receiver_takes_no_more_than_two_threads(telling: Telling) -> None:
    """The others are put back, so that the threads are there for rebuilds."""
    at_it, go_on = Barrier(AT_ONCE + 1), Event()

    def slow(_: Destination) -> None:
        at_it.wait(SECONDS)
        assert go_on.wait(SECONDS)

    telling.receivers.answer = slow
    sent = [ToSend(happening(n, telling), FLUX.name, telling.time.now) for n in range(AT_ONCE + 1)]
    threads = [Thread(target=send_message, args=(telling.context, sent[n])) for n in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    at_it.wait(SECONDS)
    with pytest.raises(Throttled, match="flux has not answered yet"):
        send_message(telling.context, sent[-1])
    telling.receivers.answer = lambda _: None
    send_message(telling.context, ToSend(happening(9, telling), TEAM.name, telling.time.now))
    go_on.set()
    for thread in threads:
        thread.join(SECONDS)

    assert len(telling.receivers.events) == AT_ONCE
    send_message(telling.context, sent[-1])
    assert len(telling.receivers.events) == AT_ONCE + 1


def test_nobody_is_reached_from_where_there_is_no_receiver(world: World) -> None:
    """As in a command that only looks."""
    receivers = world.context.receivers
    with pytest.raises(NotFound, match="team cannot be reached"):
        receivers.tell(TEAM, "a", "b")
    with pytest.raises(NotFound, match="flux cannot be reached"):
        receivers.send(FLUX, b"")
    receivers.close()
