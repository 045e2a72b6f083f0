"""Queue triggers: receive, run, delete; renew, hide again, poison."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from localcloud.functionshost.settings import HostError, QueueOptions
from localcloud.functionshost.worker import Result

log = logging.getLogger(__name__)

HIDE = timedelta(minutes=10)
RENEW = timedelta(minutes=5)
_FIRST_WAIT = 0.1
_SQLITE = "sqlite:"
_UNKNOWN = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was received."""

    id: str
    body: str
    pop_receipt: str
    dequeue_count: int
    inserted_at: datetime
    expires_at: datetime
    next_visible_at: datetime


class Gone(Exception):
    """The message is not there any more, or somebody else has received it."""


class QueueService(Protocol):
    """A storage account's queues."""

    encoded: bool

    def receive(self, queue: str, limit: int, hide: timedelta) -> list[Message]:
        """Receive messages; none if there is no such queue."""

    def renew(self, queue: str, message: Message, receipt: str, hide: timedelta) -> str:
        """Hide a message for `hide` from now; return its new receipt."""

    def delete(self, queue: str, message: Message, receipt: str) -> None:
        """Delete a message."""

    def send(self, queue: str, body: str) -> None:
        """Send a message; the queue is created if it is absent."""

    def close(self) -> None:
        """Close the connections."""


class StorageQueueService:
    """Azure Storage queues, Azurite's included."""

    encoded = True

    def __init__(self, connection_string: str, parts: Mapping[str, str]) -> None:
        from azure.storage.queue import QueueServiceClient  # noqa: PLC0415 - slow to import

        if connection_string:
            if connection_string.replace(" ", "").lower() == "usedevelopmentstorage=true":
                connection_string = DEVELOPMENT_STORAGE
            self._client = QueueServiceClient.from_connection_string(connection_string)
            return
        from azure.identity import ManagedIdentityCredential  # noqa: PLC0415 - slow to import

        name = parts.get("accountName")
        url = f"https://{name}.queue.core.windows.net" if name else parts["queueServiceUri"]
        client_id = parts.get("clientId")
        self._client = QueueServiceClient(url, ManagedIdentityCredential(client_id=client_id))

    def receive(self, queue: str, limit: int, hide: timedelta) -> list[Message]:
        """Receive messages; see QueueService."""
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415

        client = self._client.get_queue_client(queue)
        seconds = int(hide.total_seconds())
        try:
            pages = client.receive_messages(
                messages_per_page=limit, max_messages=limit, visibility_timeout=seconds
            )
            return [
                Message(
                    m.id,
                    str(m.content),
                    str(m.pop_receipt),
                    int(m.dequeue_count or 0),
                    m.inserted_on or _UNKNOWN,
                    m.expires_on or _UNKNOWN,
                    m.next_visible_on or _UNKNOWN,
                )
                for m in pages
            ]
        except ResourceNotFoundError:
            return []

    def renew(self, queue: str, message: Message, receipt: str, hide: timedelta) -> str:
        """Hide a message again; see QueueService."""
        from azure.core.exceptions import HttpResponseError  # noqa: PLC0415

        seconds = int(hide.total_seconds())
        try:
            updated = self._client.get_queue_client(queue).update_message(
                message.id, receipt, visibility_timeout=seconds
            )
        except HttpResponseError as error:
            raise Gone(message.id) from error
        return str(updated.pop_receipt)

    def delete(self, queue: str, message: Message, receipt: str) -> None:
        """Delete a message; see QueueService."""
        from azure.core.exceptions import HttpResponseError  # noqa: PLC0415

        try:
            self._client.get_queue_client(queue).delete_message(message.id, receipt)
        except HttpResponseError as error:
            raise Gone(message.id) from error

    def send(self, queue: str, body: str) -> None:
        """Send a message; see QueueService."""
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415

        client = self._client.get_queue_client(queue)
        try:
            client.send_message(body)
        except ResourceNotFoundError:
            client.create_queue()
            client.send_message(body)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class SqliteQueueService:
    """The product's embedded queues, which this host can pump as if they were Azure's."""

    encoded = False

    def __init__(self, path: Path) -> None:
        from rebuilder.sqlite import queues  # noqa: PLC0415 - only where the app uses it

        self._queues = queues.SqliteQueues(path)
        self._gone = queues.MessageGone

    def receive(self, queue: str, limit: int, hide: timedelta) -> list[Message]:
        """Receive messages; see QueueService."""
        return [
            Message(
                m.id,
                m.body,
                m.pop_receipt,
                m.dequeue_count,
                m.inserted_at,
                m.expires_at,
                m.next_visible_at,
            )
            for m in self._queues.receive(queue, limit, hide)
        ]

    def renew(self, queue: str, message: Message, receipt: str, hide: timedelta) -> str:
        """Hide a message again; see QueueService."""
        try:
            return self._queues.renew(queue, message.id, receipt, hide)
        except self._gone as error:
            raise Gone(message.id) from error

    def delete(self, queue: str, message: Message, receipt: str) -> None:
        """Delete a message; see QueueService."""
        try:
            self._queues.delete(queue, message.id, receipt)
        except self._gone as error:
            raise Gone(message.id) from error

    def send(self, queue: str, body: str) -> None:
        """Send a message; see QueueService."""
        self._queues.send(queue, body)

    def close(self) -> None:
        """Close the connections."""
        self._queues.close()


# Azurite's account, the same for everybody.
# Source: learn.microsoft.com, "Connect to Azurite", well-known storage account and key.
DEVELOPMENT_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlm"
    "EtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;"
)


def open_service(connection_string: str, parts: Mapping[str, str]) -> QueueService:
    """Return the queues of a connection.

    Raises:
        HostError: The connection cannot be used.
    """
    if connection_string.startswith(_SQLITE):
        return SqliteQueueService(Path(connection_string.removeprefix(_SQLITE)))
    try:
        return StorageQueueService(connection_string, parts)
    except (ValueError, KeyError) as error:
        # The text may hold an account key, so it is not repeated.
        raise HostError("the storage connection string cannot be read") from error


def metadata(message: Message, body: str) -> dict[str, tuple[Any, str]]:
    """Return a queue trigger's metadata: what the host knows, then the body's own JSON keys.

    The body's keys win, in any case: a message {"id": 1} hides its own id. The real host does so.
    """
    values: dict[str, tuple[Any, str]] = {
        "DequeueCount": (str(message.dequeue_count), "json"),
        "ExpirationTime": (json.dumps(message.expires_at.isoformat()), "json"),
        "InsertionTime": (json.dumps(message.inserted_at.isoformat()), "json"),
        "NextVisibleTime": (json.dumps(message.next_visible_at.isoformat()), "json"),
        "Id": (message.id, "string"),
        "PopReceipt": (message.pop_receipt, "string"),
        "QueueTrigger": (body, "string"),
    }
    try:
        parsed = json.loads(body)
    except ValueError:
        return values
    if isinstance(parsed, dict):
        by_name = {name.lower(): name for name in values}
        for key, value in parsed.items():
            kind = "string" if isinstance(value, str) else "json"
            text = value if isinstance(value, str) else json.dumps(value)
            values[by_name.get(str(key).lower(), str(key))] = (text, kind)
    return values


class QueuePump:
    """Feeds one function from one queue.

    Args:
        queue: The queue.
        service: The account's queues.
        options: host.json's options.
        run: Starts an invocation with a body and metadata.
    """

    def __init__(
        self,
        queue: str,
        service: QueueService,
        options: QueueOptions,
        run: Callable[[str, dict[str, tuple[Any, str]]], Future[Result]],
    ) -> None:
        self._queue = queue
        self._service = service
        self._options = options
        self._run = run
        self._stopping = threading.Event()
        self._free = threading.Condition()
        self._in_flight = 0
        most = options.batch_size + options.new_batch_threshold
        self._pool = ThreadPoolExecutor(most, f"queue-{queue}")
        self._thread = threading.Thread(target=self._pump, name=f"pump-{queue}", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Stop polling and let running functions end."""
        self._stopping.set()
        with self._free:
            self._free.notify_all()
        self._thread.join()
        self._pool.shutdown(wait=True)

    def _pump(self) -> None:
        wait = _FIRST_WAIT
        longest = self._options.max_polling_interval.total_seconds()
        while not self._stopping.is_set():
            with self._free:
                while self._in_flight > self._options.new_batch_threshold:
                    self._free.wait()
                    if self._stopping.is_set():
                        return
            try:
                messages = self._service.receive(self._queue, self._options.batch_size, HIDE)
            except Exception:
                # The real host shuts down on some of these and is started again.
                log.exception("queue %s cannot be received from", self._queue)
                messages = []
            for message in messages:
                with self._free:
                    self._in_flight += 1
                self._pool.submit(self._process, message)
            if messages:
                wait = _FIRST_WAIT
                continue
            self._stopping.wait(wait * random.uniform(0.8, 1.2))  # noqa: S311 - a jitter
            wait = min(wait * 2, longest)

    def _process(self, message: Message) -> None:
        try:
            self._handle(message)
        except Exception:
            log.exception("queue %s: message %s", self._queue, message.id)
        finally:
            with self._free:
                self._in_flight -= 1
                self._free.notify_all()

    def _handle(self, message: Message) -> None:
        receipt = message.pop_receipt
        body = self._decode(message)
        if body is None or message.dequeue_count > self._options.max_dequeue_count:
            self._poison(message, receipt)
            return
        running = self._run(body, metadata(message, body))
        while True:
            try:
                result = running.result(RENEW.total_seconds())
                break
            except FutureTimeout:
                try:
                    receipt = self._service.renew(self._queue, message, receipt, HIDE)
                except Gone:
                    log.warning("queue %s: message %s was lost", self._queue, message.id)
        try:
            if result.ok:
                self._service.delete(self._queue, message, receipt)
            elif message.dequeue_count >= self._options.max_dequeue_count:
                self._poison(message, receipt)
            else:
                hide = self._options.visibility_timeout
                self._service.renew(self._queue, message, receipt, hide)
        except Gone:
            log.warning("queue %s: message %s was taken by another", self._queue, message.id)

    def _decode(self, message: Message) -> str | None:
        if not self._service.encoded or self._options.message_encoding == "none":
            return message.body
        try:
            return base64.b64decode(message.body, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None

    def _poison(self, message: Message, receipt: str) -> None:
        if self._queue.endswith("-poison"):
            return  # it stays hidden until its ten minutes are over
        poison = f"{self._queue}-poison"
        log.error(
            "queue %s: message %s failed %s times, moved to %s",
            self._queue,
            message.id,
            message.dequeue_count,
            poison,
        )
        self._service.send(poison, message.body)
        self._service.delete(self._queue, message, receipt)
