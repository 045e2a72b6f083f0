"""Queues that carry the trace from function to function: Storage's have no context of their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rebuilder.core.rebuilds.messages import in_trace
from rebuilder.ports.queue import Begun, WrappedQueue
from rebuilder.telemetry import signals


class TracedQueues(WrappedQueue):
    """Queues whose messages name the trace that they were sent in."""

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
