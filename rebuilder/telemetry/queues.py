"""Queues that carry the trace from function to function: Storage's have no context of their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rebuilder.core.rebuilds.messages import in_trace
from rebuilder.ports.queue import Begun, Depth, PoisonMessage, WorkQueue
from rebuilder.telemetry import signals


class TracedQueues(WorkQueue):
    """Queues whose messages name the trace that they were sent in.

    Args:
        queues: Where they go.
    """

    def __init__(self, queues: WorkQueue) -> None:
        self._queues = queues

    def send(self, queue: str, body: str, delay: timedelta = timedelta()) -> None:
        """Put a message into a queue; see WorkQueue."""
        self._queues.send(queue, in_trace(body, signals.traceparent(queue)), delay)

    def send_many(self, queue: str, bodies: Sequence[str]) -> None:
        """Put many messages into a queue; see WorkQueue."""
        trace = signals.traceparent(queue)
        self._queues.send_many(queue, [in_trace(body, trace) for body in bodies])

    def begin(self, queue: str, body: str, hidden: timedelta) -> Begun:
        """Put a message into a queue and work it off oneself; see WorkQueue."""
        return self._queues.begin(queue, in_trace(body, signals.traceparent(queue)), hidden)

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
