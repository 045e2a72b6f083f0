"""The queues between the functions, in Azure Storage."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Self

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueServiceClient, TextBase64EncodePolicy

from rebuilder.azure._errors import translated
from rebuilder.azure._storage import connection_string, endpoint
from rebuilder.azure.identity import credential
from rebuilder.settings import Settings

_FOREVER = -1
_AT_ONCE = 8


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
            return cls(QueueServiceClient.from_connection_string(text))
        identity = credential(settings.storage_client_id)
        return cls(QueueServiceClient(endpoint(settings, "queue"), identity))

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def send(self, queue: str, body: str, delay: timedelta = timedelta()) -> None:
        """Put a message into a queue; see WorkQueue."""
        self._send(queue, [body], int(delay.total_seconds()))

    def send_many(self, queue: str, bodies: Sequence[str]) -> None:
        """Put many messages into a queue; see WorkQueue."""
        if bodies:
            self._send(queue, bodies, 0)

    def _send(self, queue: str, bodies: Sequence[str], seconds: int) -> None:
        # Base64 is what the Functions host expects by default.
        policy = TextBase64EncodePolicy()
        client = self._service.get_queue_client(queue, message_encode_policy=policy)

        def send(body: str) -> None:
            client.send_message(body, visibility_timeout=seconds, time_to_live=_FOREVER)

        first, *others = bodies
        with translated(f"send to queue {queue}"):
            try:
                send(first)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):  # another instance may be quicker
                    client.create_queue()
                send(first)
            if others:
                # The service takes one message per request.
                with ThreadPoolExecutor(_AT_ONCE) as pool:
                    list(pool.map(send, others))
