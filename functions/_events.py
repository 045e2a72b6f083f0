"""Events as Event Grid wrote them, and those that come at once taken over together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from weakref import WeakKeyDictionary

import azure.functions as func

from rebuilder.core.rebuilds.messages import TRACE
from rebuilder.errors import TransientError

MOST = 500
"""How many events are taken over together."""


def raw(event: func.EventGridEvent | func.CloudEvent) -> dict[str, object]:
    """Return the fields of an event that the product reads.

    The worker hands over whichever of the two types the payload is, whatever the annotation says.
    """
    if isinstance(event, func.CloudEvent):
        return {
            "specversion": event.specversion,
            "id": event.id,
            "source": event.source,
            "subject": event.subject,
            "type": event.type,
            "data": event.get_json(),
            TRACE: event.extension_attrs.get(TRACE),
        }
    return {
        "id": event.id,
        "topic": event.topic,
        "subject": event.subject,
        "eventType": event.event_type,
        "data": event.get_json(),
    }


class Together[T]:
    """Takes over together what comes while others are being taken over.

    The host calls a function for each event of a delivery, all at once. To write each by itself
    takes minutes for a delivery of thousands, and good events wait behind them.

    Args:
        work: Takes events over; when it returns, they cannot be lost.
    """

    def __init__(self, work: Callable[[Sequence[object]], T]) -> None:
        self._work = work
        # An event loop each: a host that starts again in the same process has another one.
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line[T]] = WeakKeyDictionary()

    async def take_over(self, event: object) -> T | None:
        """Return once an event is taken over.

        Returns:
            What the work gave for this event and those that came with it, to one of them.

        Raises:
            TransientError: It was not.
        """
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            line = self._lines[loop] = _Line(self._work)
        return await line.add(event)


class _Line[T]:
    def __init__(self, work: Callable[[Sequence[object]], T]) -> None:
        self._work = work
        self._waiting: list[tuple[object, asyncio.Future[T | None]]] = []
        self._working: asyncio.Task[None] | None = None

    async def add(self, event: object) -> T | None:
        over: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, over))
        if self._working is None:
            self._working = asyncio.create_task(self._work_off())
        return await over

    async def _work_off(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._take_over(some)
        finally:
            self._working = None

    async def _take_over(self, some: Sequence[tuple[object, asyncio.Future[T | None]]]) -> None:
        try:
            given = await asyncio.to_thread(self._work, [event for event, _ in some])
        except Exception as error:  # noqa: BLE001 - whoever waits raises it
            if len(some) > 1 and not isinstance(error, TransientError):
                # One of them harms no other.
                for one in some:
                    await self._take_over([one])
                return
            _end(some, error)
        except BaseException as error:
            _end(some, error)
            raise
        else:
            given_to: T | None = given
            for over in _waiting(some):
                over.set_result(given_to)
                given_to = None


def _end[T](some: Sequence[tuple[object, asyncio.Future[T | None]]], error: BaseException) -> None:
    for over in _waiting(some):
        over.set_exception(error)


def _waiting[T](
    some: Sequence[tuple[object, asyncio.Future[T | None]]],
) -> Iterator[asyncio.Future[T | None]]:
    """Return those for which somebody still waits."""
    return (over for _, over in some if not over.done())
