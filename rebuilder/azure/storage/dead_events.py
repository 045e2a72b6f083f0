"""The blobs of events that Event Grid could not deliver."""

from __future__ import annotations

import logging
from functools import partial
from itertools import islice
from typing import Self
from urllib.parse import urlsplit

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient

from rebuilder.azure._clients import TIMEOUTS
from rebuilder.azure._errors import translated
from rebuilder.azure.identity import credential
from rebuilder.azure.storage._storage import connected, connection_string
from rebuilder.core.events.dead_events import BLOB_LIMIT
from rebuilder.ports.dead_letters import DeadEvents
from rebuilder.settings import SQLITE, Settings

log = logging.getLogger(__name__)

_SOME = 32


class BlobDeadEvents:
    """A DeadEventStore; see rebuilder.ports.

    Args:
        container: The container that Event Grid writes to.
    """

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the store of `settings.dead_letters`, a container's address.

        The identity is shown to it, unless it is in the account of the connection string.
        """
        place = urlsplit(settings.dead_letters)
        text = "" if settings.storage.startswith(SQLITE) else connection_string(settings)
        if text and _account(text) == (place.hostname or "").partition(".")[0]:
            make = partial(BlobServiceClient.from_connection_string, **TIMEOUTS)
            service = connected(make, text)
        else:
            service = BlobServiceClient(
                f"https://{place.netloc}", credential(settings.storage_client_id), **TIMEOUTS
            )
        return cls(service.get_container_client(place.path.strip("/")))

    def close(self) -> None:
        """Close the connections."""
        self._container.close()

    def read(self) -> list[DeadEvents]:
        """Return some of the blobs; see DeadEventStore."""
        found = []
        with translated(f"read the dead letters in {self._container.url}"):
            try:
                names = list(islice(self._container.list_blob_names(), _SOME))
            except ResourceNotFoundError:
                # Event Grid then drops what it cannot deliver, so this must be seen.
                log.warning("there is no container %s: make it", self._container.url)
                return []
            for name in names:
                try:
                    # Of what is longer than is read, so much that it is seen.
                    content = self._container.download_blob(
                        name, offset=0, length=BLOB_LIMIT + 1
                    ).readall()
                except ResourceNotFoundError:
                    log.info("blob %s is gone", name)
                    continue
                found.append(DeadEvents(name, content))
        return found

    def forget(self, name: str) -> None:
        """Delete a blob; see DeadEventStore."""
        with translated(f"delete blob {name} of {self._container.url}"):
            try:
                self._container.delete_blob(name)
            except ResourceNotFoundError:
                log.info("blob %s is gone", name)


def _account(text: str) -> str:
    """Return the account of a connection string; "" if it names none."""
    parts = dict(part.partition("=")[::2] for part in text.split(";"))
    return parts.get("AccountName", "").lower()
