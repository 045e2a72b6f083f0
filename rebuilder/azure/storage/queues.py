"""The queues between the functions, in Azure Storage."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Self

from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.queue import (
    QueueClient,
    QueueMessage,
    QueueServiceClient,
    TextBase64EncodePolicy,
)

from rebuilder.azure._errors import translated
from rebuilder.azure.identity import credential
from rebuilder.azure.storage._storage import connected, connection_string, endpoint
from rebuilder.core.rebuilds.messages import LONGEST_DELAY, check_size
from rebuilder.isolation import together
from rebuilder.ports.queue import Begun, Depth, PoisonMessage
from rebuilder.settings import Settings

log = logging.getLogger(__name__)

_FOREVER = -1
_POISON = "-poison"
_SOME = 32
_HIDDEN_SECONDS = 300


class StorageQueues:
    """A WorkQueue; see rebuilder.ports.

    Args:
        service: The account's queue service.
    """

    def __init__(self, service: QueueServiceClient) -> None:
        self._service = service

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the queues of the configured account."""
        if text := connection_string(settings):
            return cls(connected(QueueServiceClient.from_connection_string, text))
        identity = credential(settings.storage_client_id)
        return cls(QueueServiceClient(endpoint(settings, "queue"), identity))

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def send(self, queue: str, body: str, delay: timedelta = timedelta()) -> None:
        """Put a message into a queue; see WorkQueue."""
        # What comes too early finds out that it is not time yet, and is put back.
        seconds = max(min(delay, LONGEST_DELAY).total_seconds(), 0)
        self._send(queue, [body], int(seconds))

    def send_many(self, queue: str, bodies: Sequence[str]) -> None:
        """Put many messages into a queue; see WorkQueue."""
        if bodies:
            self._send(queue, bodies, 0)

    def begin(self, queue: str, body: str, hidden: timedelta) -> Begun:
        """Put a message into a queue and work it off oneself; see WorkQueue."""
        (sent,) = self._send(queue, [body], int(hidden.total_seconds()))
        return Begun(queue, body, (str(sent.id), str(sent.pop_receipt)))

    def finish(self, begun: Begun) -> None:
        """Delete a message that was worked off; see WorkQueue."""
        client = self._service.get_queue_client(begun.queue)
        with translated(f"delete a message of queue {begun.queue}"), _unless_gone():
            client.delete_message(*begun.handle)

    def leave(self, begun: Begun) -> None:
        """Let others see a message now; see WorkQueue."""
        client = self._service.get_queue_client(begun.queue)
        with translated(f"give back a message of queue {begun.queue}"), _unless_gone():
            client.update_message(*begun.handle, visibility_timeout=0)

    def poisoned(self, queue: str) -> list[PoisonMessage]:
        """Return some of the messages that the host gave up; see WorkQueue."""
        client = self._poison(queue)
        with translated(f"read queue {queue}{_POISON}"):
            try:
                found = list(
                    client.receive_messages(max_messages=_SOME, visibility_timeout=_HIDDEN_SECONDS)
                )
            except ResourceNotFoundError:
                return []
        return [_poisoned(queue, message) for message in found]

    def depth(self, queue: str, *, poison: bool = False) -> Depth:
        """Return how much waits in a queue; see WorkQueue."""
        client = self._poison(queue) if poison else self._service.get_queue_client(queue)
        with translated(f"look at queue {client.queue_name}"):
            try:
                count = client.get_queue_properties().approximate_message_count
                first = client.peek_messages(max_messages=1)
            except ResourceNotFoundError:
                return Depth(0, None)
        return Depth(count or 0, first[0].inserted_on if first else None)

    def forget(self, message: PoisonMessage) -> None:
        """Delete a message from its poison queue; see WorkQueue."""
        client = self._poison(message.queue)
        with translated(f"forget a message of {client.queue_name}"):
            try:
                client.delete_message(*message.handle)
            except ResourceNotFoundError:
                log.info("queue %s: message %s is gone", client.queue_name, message.handle[0])

    def _poison(self, queue: str) -> QueueClient:
        return self._service.get_queue_client(f"{queue}{_POISON}")

    def _send(self, queue: str, bodies: Sequence[str], seconds: int) -> list[QueueMessage]:
        for body in bodies:
            check_size(body)
        # Base64 is what the Functions host expects by default.
        policy = TextBase64EncodePolicy()
        client = self._service.get_queue_client(queue, message_encode_policy=policy)

        def send(body: str) -> QueueMessage:
            return client.send_message(body, visibility_timeout=seconds, time_to_live=_FOREVER)

        first, *others = bodies
        with translated(f"send to queue {queue}"):
            try:
                sent = send(first)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):  # another instance may be quicker
                    client.create_queue()
                sent = send(first)
            # The service takes one message per request.
            return [sent, *(together(send, others) if others else ())]


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Let be what somebody else has received since: his is the newer receipt."""
    try:
        yield
    except ResourceNotFoundError:
        pass
    except HttpResponseError as error:
        if getattr(error, "error_code", "") != "PopReceiptMismatch":
            raise


def _poisoned(queue: str, message: QueueMessage) -> PoisonMessage:
    content = str(message.content)
    text = _decoded(content)
    return PoisonMessage(
        queue,
        content if text is None else text,
        message.inserted_on or datetime.now(UTC),
        (str(message.id), str(message.pop_receipt)),
        text is not None,
    )


def _decoded(content: str) -> str | None:
    """Return a message's text, as the host reads it; None for what is not Base64.

    The host skips white space, and puts U+FFFD for what is not UTF-8.
    """
    try:
        data = base64.b64decode("".join(content.split()), validate=True)
    except ValueError:
        return None
    return data.decode(errors="replace")
