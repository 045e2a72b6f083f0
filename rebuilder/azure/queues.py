"""The queues between the functions, in Azure Storage."""

from __future__ import annotations

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
        # Base64 is what the Functions host expects by default.
        policy = TextBase64EncodePolicy()
        client = self._service.get_queue_client(queue, message_encode_policy=policy)
        seconds = int(delay.total_seconds())
        with translated(f"send to queue {queue}"):
            try:
                client.send_message(body, visibility_timeout=seconds, time_to_live=_FOREVER)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):  # another instance may be quicker
                    client.create_queue()
                client.send_message(body, visibility_timeout=seconds, time_to_live=_FOREVER)
