"""Events that come at once are taken over together; one that cannot be harms no other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from functions._events import MOST, Together
from rebuilder.errors import Denied, TransientError
from rebuilder.usecases.events.accept import accept_events
from tests.patience import SECONDS
from tests.unit.fakes import BASE, NEW, World


def event(number: int) -> dict[str, object]:
    """Return an event of a push."""
    target = {"digest": NEW, "repository": "images/node", "tag": f"t{number}"}
    return {
        "id": f"event-{number}",
        "topic": str(BASE),
        "subject": f"images/node:t{number}",
        "eventType": "Microsoft.ContainerRegistry.ImagePushed",
        "data": {"target": target},
    }


async def at_once[T](together: Together[T], events: Sequence[object]) -> list[object]:
    """Have events taken over as the host does: all at once."""
    works = (together.take_over(one) for one in events)
    return await asyncio.gather(*works, return_exceptions=True)


def test_what_comes_at_once_is_taken_over_together(world: World) -> None:
    """The first one alone, what came meanwhile in as few turns as may be."""
    sizes: list[int] = []

    def work(raws: Sequence[object]) -> None:
        sizes.append(len(raws))
        accept_events(world.context, raws)

    told = asyncio.run(at_once(Together(work), [event(n) for n in range(2 * MOST + 3)]))

    assert told == [None] * (2 * MOST + 3)
    assert sizes == [MOST, MOST, 3]
    assert len(world.queue.sent) == 2 * MOST + 3
    assert len(world.ledger.unplanned()) == 2 * MOST + 3


def test_what_fails_is_told_to_whoever_waits() -> None:
    """All of them are delivered again; those that come later are taken over."""
    fails = [TransientError("no store")]

    def work(raws: Sequence[object]) -> None:
        del raws
        if fails:
            raise fails.pop()

    together = Together(work)

    async def story() -> list[object]:
        first = await at_once(together, [1, 2])
        return [*first, *(await at_once(together, [3]))]

    assert [str(told) for told in asyncio.run(story())] == ["no store", "no store", "None"]


def test_one_that_cannot_be_taken_over_harms_no_other() -> None:
    """What nobody foresaw is that event's alone."""

    def work(raws: Sequence[object]) -> None:
        if "bad" in raws:
            raise Denied("not this one")

    told = asyncio.run(at_once(Together(work), ["a", "bad", "b"]))
    assert [str(one) for one in told] == ["None", "not this one", "None"]


def test_a_process_that_dies_takes_nothing_over() -> None:
    """What is raised to end it reaches whoever waits."""

    class Killed(BaseException):
        """As SIGKILL."""

    def work(raws: Sequence[object]) -> None:
        raise Killed(raws)

    with pytest.raises(Killed):
        asyncio.run(Together(work).take_over("event"))


def test_whoever_gave_up_waiting_disturbs_nobody() -> None:
    """The host ended one of the calls; the others are answered."""
    began, goes_on = threading.Event(), threading.Event()

    def work(raws: Sequence[object]) -> None:
        del raws
        began.set()
        assert goes_on.wait(SECONDS)

    async def story() -> list[object]:
        together = Together(work)
        calls = [asyncio.create_task(together.take_over(n)) for n in range(2)]
        await asyncio.to_thread(began.wait, SECONDS)
        calls[0].cancel()
        goes_on.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    cancelled, answered = asyncio.run(story())
    assert isinstance(cancelled, asyncio.CancelledError)
    assert answered is None


def test_each_event_loop_has_its_own_line() -> None:
    """A host that starts anew in the same process goes on with nothing of the one before."""
    seen: list[object] = []
    together = Together(seen.extend)
    for number in range(2):
        asyncio.run(together.take_over(number))

    assert seen == [0, 1]


def test_the_same_push_twice_at_once_is_planned_once(world: World) -> None:
    """Both deliveries are counted, one message is enough."""
    accept_events(world.context, [event(1), event(1), {"id": "x"}])

    assert len(world.queue.sent) == 1
    (record,) = world.ledger.unplanned()
    assert record.deliveries == 2
