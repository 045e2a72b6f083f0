"""The queues between the functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct


class PoisonMessage(Struct, frozen=True):
    """A message that the Functions host gave up, hidden from others for a while.

    Attributes:
        queue: The queue that it was meant for.
        body: The message as it was sent.
        at: When the host gave it up.
        handle: What `WorkQueue.forget` knows it by.
        encoded: Whether it was written as the host reads messages; else no function ever saw it.
    """

    queue: str
    body: str
    at: datetime
    handle: tuple[str, str]
    encoded: bool = True


class Begun(Struct, frozen=True):
    """A message in a queue that its sender works off himself; others do not see it for a while.

    Attributes:
        queue: The queue.
        body: The message as it was sent.
        handle: What `WorkQueue.finish` and `WorkQueue.leave` know it by.
    """

    queue: str
    body: str
    handle: tuple[str, str]


class Depth(Struct, frozen=True):
    """How much waits in a queue.

    Attributes:
        messages: About how many messages, hidden and delayed ones among them.
        oldest: When the one was sent that is to be delivered next; None if none is.
    """

    messages: int
    oldest: datetime | None


class WorkQueue(Protocol):
    """The queues between the functions; a message is delivered at least once."""

    def send(self, queue: str, body: str, delay: timedelta = timedelta()) -> None:
        """Put a message into a queue; nobody sees it before `delay` has passed.

        It is put off for `core.rebuilds.messages.LONGEST_DELAY` at most: Azure allows no more.

        Raises:
            TransientError: The store cannot be reached.
            Refused: It is larger than `core.rebuilds.messages.MOST_BYTES`.
        """

    def send_many(self, queue: str, bodies: Sequence[str]) -> None:
        """Put many messages into a queue.

        Raises:
            TransientError: The store cannot be reached; some of them may be in the queue.
            Refused: One is larger than `core.rebuilds.messages.MOST_BYTES`; none is in the queue.
        """

    def begin(self, queue: str, body: str, hidden: timedelta) -> Begun:
        """Put a message into a queue, to be worked off by whoever sent it.

        Nobody else sees it before `hidden` has passed: then its sender has died.

        Raises:
            TransientError: The store cannot be reached.
            Refused: It is larger than `core.rebuilds.messages.MOST_BYTES`.
        """

    def finish(self, begun: Begun) -> None:
        """Delete a message that was worked off; nothing happens if somebody else has it.

        Raises:
            TransientError: The store cannot be reached; it is delivered once more.
        """

    def leave(self, begun: Begun) -> None:
        """Let others see a message now; nothing happens if somebody else has it.

        Raises:
            TransientError: The store cannot be reached; they see it when its time has passed.
        """

    def poisoned(self, queue: str) -> list[PoisonMessage]:
        """Return some of the messages that the host gave up, from the queue's poison queue.

        Raises:
            TransientError: The store cannot be reached.
        """

    def depth(self, queue: str, *, poison: bool = False) -> Depth:
        """Return how much waits in a queue, or in its poison queue; nothing is received.

        Raises:
            TransientError: The store cannot be reached.
        """

    def forget(self, message: PoisonMessage) -> None:
        """Delete a message from its poison queue; nothing happens if somebody else has it.

        Raises:
            TransientError: The store cannot be reached.
        """

    def close(self) -> None:
        """Close the connections."""


class WrappedQueue(WorkQueue):
    """A WorkQueue that does as another one; whoever derives from it says where it does not.

    Args:
        queues: The other one.
    """

    def __init__(self, queues: WorkQueue) -> None:
        self._queues = queues

    def send(self, queue: str, body: str, delay: timedelta = timedelta()) -> None:
        """Put a message into a queue; see WorkQueue."""
        self._queues.send(queue, body, delay)

    def send_many(self, queue: str, bodies: Sequence[str]) -> None:
        """Put many messages into a queue; see WorkQueue."""
        self._queues.send_many(queue, bodies)

    def begin(self, queue: str, body: str, hidden: timedelta) -> Begun:
        """Put a message into a queue and work it off oneself; see WorkQueue."""
        return self._queues.begin(queue, body, hidden)

    def finish(self, begun: Begun) -> None:
        """Delete a message that was worked off; see WorkQueue."""
        self._queues.finish(begun)

    def leave(self, begun: Begun) -> None:
        """Let others see a message; see WorkQueue."""
        self._queues.leave(begun)

    def poisoned(self, queue: str) -> list[PoisonMessage]:
        """Return what the host gave up; see WorkQueue."""
        return self._queues.poisoned(queue)

    def depth(self, queue: str, *, poison: bool = False) -> Depth:
        """Return how much waits in a queue; see WorkQueue."""
        return self._queues.depth(queue, poison=poison)

    def forget(self, message: PoisonMessage) -> None:
        """Delete a message from its poison queue; see WorkQueue."""
        self._queues.forget(message)

    def close(self) -> None:
        """Close the connections."""
        self._queues.close()
