"""Go on with what was just sent, before anybody polls for it.

An empty queue is looked into every other second only: more often costs money all day long. So
whoever sends a message while there is little to do works it off himself, at once. It is in its
queue meanwhile, hidden, and is deleted when it is done. If the process dies, the host delivers it
like any other when it is to be seen again: nothing rests on its being worked off here.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from copy import replace
from datetime import timedelta

from rebuilder.core.rebuilds.messages import check_size
from rebuilder.errors import RebuilderError
from rebuilder.ports.queue import Begun, WorkQueue, WrappedQueue
from rebuilder.usecases.context import Context
from rebuilder.usecases.recovery.delivery import deliver

log = logging.getLogger(__name__)

type Work = Callable[[Context, str], object]
"""Decodes a message and calls its use case."""

MOST = 4
"""How many messages one call goes on with: more are quicker by many threads, from the queue."""

HIDDEN = timedelta(minutes=2)
"""How long a message is hidden, and waits if its sender dies."""

_LONGEST = timedelta(seconds=10)
_IDLE = threading.BoundedSemaphore(2)


class AtOnce:
    """A call of a function that goes on with the first messages that it sends.

    Args:
        context: The ports.
        works: What works messages off, by queue; those of other queues are left to the host.

    Attributes:
        context: The ports to work with.
    """

    def __init__(self, context: Context, works: Mapping[str, Work]) -> None:
        self._works = works
        self._queue = _Begins(context.queue, works)
        self.context = replace(context, queue=self._queue)

    def go_on(self) -> None:
        """Work off what was sent, and what that sends, for as long as there is little to do."""
        if not _IDLE.acquire(blocking=False):
            self._leave()
            return
        try:
            began = self.context.now()
            while self._queue.begun and abs(self.context.now() - began) < _LONGEST:
                self._work_off(self._queue.begun.popleft())
        finally:
            _IDLE.release()
        self._leave()

    def _work_off(self, begun: Begun) -> None:
        try:
            deliver(self.context, begun.queue, begun.body, self._works[begun.queue])
        except Exception:
            # The host delivers it again, and counts.
            log.exception("queue %s: a message goes back", begun.queue)
            self._give_back(begun)
            return
        try:
            self._queue.finish(begun)
        except RebuilderError as error:
            log.warning("queue %s: a message is delivered once more: %s", begun.queue, error)

    def _leave(self) -> None:
        while self._queue.begun:
            self._give_back(self._queue.begun.popleft())

    def _give_back(self, begun: Begun) -> None:
        try:
            self._queue.leave(begun)
        except RebuilderError as error:
            log.warning("queue %s: a message waits for %s: %s", begun.queue, HIDDEN, error)


class _Begins(WrappedQueue):
    """Queues whose first messages are begun by whoever sends them.

    Attributes:
        begun: Those messages, until somebody goes on with them.
    """

    def __init__(self, queues: WorkQueue, names: Mapping[str, Work]) -> None:
        super().__init__(queues)
        self._names = names
        self._left = MOST
        self.begun: deque[Begun] = deque()

    def send(self, queue: str, body: str, delay: timedelta = timedelta()) -> None:
        """Put a message into a queue; see WorkQueue."""
        if delay > timedelta() or queue not in self._names or not self._left:
            self._queues.send(queue, body, delay)
            return
        self._begin(queue, body)

    def send_many(self, queue: str, bodies: Sequence[str]) -> None:
        """Put many messages into a queue; see WorkQueue."""
        if queue not in self._names or len(bodies) > self._left:
            self._queues.send_many(queue, bodies)
            return
        for body in bodies:
            check_size(body)
        for body in bodies:
            self._begin(queue, body)

    def _begin(self, queue: str, body: str) -> None:
        self._left -= 1
        self.begun.append(self._queues.begin(queue, body, HIDDEN))
