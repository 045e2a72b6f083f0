"""Receivers and queues for tests of messages: both tell what came, and time goes by hand."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Sequence
from copy import replace
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from textwrap import dedent

from rebuilder.core.messages import queued
from rebuilder.core.messages.destinations import Destination, Kind
from rebuilder.core.rebuilds.messages import MESSAGES
from rebuilder.errors import RebuilderError
from rebuilder.ports.queue import Begun, Depth, PoisonMessage
from rebuilder.usecases.context import Context
from rebuilder.usecases.messages.send import send_message
from rebuilder.usecases.recovery.delivery import deliver
from tests.unit.fakes import Time, World

TEAM = Destination("team", Kind.PEOPLE, "slack://token")
FLUX = Destination("flux", Kind.SIGNED, "https://flux.example.com/hook", "k" * 16)
GRID = Destination("grid", Kind.TOPIC, "https://t.westeurope-1.eventgrid.azure.net/api/events")


@dataclass
class FakeReceivers:
    """Who is told; `answer` is asked before anything is taken, and may raise."""

    answer: Callable[[Destination], None] = lambda _: None
    told: list[tuple[str, str, str]] = field(default_factory=list)
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)

    def tell(self, to: Destination, title: str, text: str) -> None:
        """Tell people something."""
        self.asked[to.name] += 1
        self.answer(to)
        self.told.append((to.name, title, text))

    def send(self, to: Destination, body: bytes) -> None:
        """Send a machine an event."""
        self.asked[to.name] += 1
        self.answer(to)
        self.events.append((to.name, json.loads(body)))

    def close(self) -> None:
        """Do nothing."""


class TimedQueue:
    """A queue whose messages come when it is time; the clock goes on to the next one."""

    def __init__(self, clock: Time) -> None:
        self._clock = clock
        self._order = count()
        self._waiting: list[tuple[datetime, int, str, str]] = []

    def send(self, queue: str, body: str, delay: timedelta = timedelta()) -> None:
        """Put a message into a queue."""
        due = self._clock.now + delay
        heapq.heappush(self._waiting, (due, next(self._order), queue, body))

    def send_many(self, queue: str, bodies: Sequence[str]) -> None:
        """Put many messages into a queue."""
        for body in bodies:
            self.send(queue, body)

    def take(self) -> tuple[str, str] | None:
        """Take the message that comes next, when it is time; None if there is none."""
        if not self._waiting:
            return None
        due, _, queue, body = heapq.heappop(self._waiting)
        self._clock.now = max(self._clock.now, due)
        return queue, body

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, queue: str, body: str, hidden: timedelta) -> Begun:
        """Put a message into a queue, to be seen when it was not worked off."""
        self.send(queue, body, hidden)
        return Begun(queue, body, ("", ""))

    def finish(self, begun: Begun) -> None:
        """Let it be delivered once more, as it may be."""

    def leave(self, begun: Begun) -> None:
        """Let it be delivered when its time has passed."""

    def depth(self, queue: str, *, poison: bool = False) -> Depth:
        """Return how much waits."""
        return Depth(0 if poison else sum(q == queue for _, _, q, _ in self._waiting), None)

    def poisoned(self, queue: str) -> list[PoisonMessage]:
        """Return nothing."""
        del queue
        return []

    def forget(self, message: PoisonMessage) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Telling:
    """A world with a policy file, receivers, and a queue that tells the time."""

    def __init__(self, world: World, policy: str) -> None:
        self.world = world
        self.time = world.time
        self.receivers = FakeReceivers()
        self.queue = TimedQueue(world.time)
        settings = replace(world.settings, destinations=(TEAM, FLUX, GRID))
        self.context: Context = replace(
            world.context, settings=settings, queue=self.queue, receivers=self.receivers
        )
        text = "version: 1\n" + dedent(policy).lstrip("\n")
        before = world.context.steering.token()
        world.context.steering.apply(text, who="a", at=self.time.now, because="b", before=before)

    def work(self, body: str) -> None:
        """Work a message off as the function does."""

        def work(context: Context, text: str) -> None:
            send_message(context, queued.decode(text), text)

        deliver(self.context, MESSAGES, body, work)

    def run(self, until: datetime | None = None) -> int:
        """Work off what is in the queue of messages, as it comes; return how many there were."""
        done = 0
        while (found := self.queue.take()) is not None:
            queue, body = found
            if queue == MESSAGES:
                self.work(body)
                done += 1
            if until is not None and self.time.now >= until:
                break
        return done


def failing(error: RebuilderError) -> Callable[[Destination], None]:
    """Return what raises an error for whoever is told."""

    def answer(_: Destination) -> None:
        raise error

    return answer
