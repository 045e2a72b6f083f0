"""Queue triggers: receive, run, delete; renew, hide again, poison."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from localcloud.functionshost.settings import HostError, QueueOptions
from localcloud.functionshost.worker import Result, Typed

if TYPE_CHECKING:
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

log = logging.getLogger(__name__)

HIDE = timedelta(minutes=10)
RENEW = timedelta(minutes=5)
_FIRST_WAIT = 0.1
_FAILED_WAIT = 2.0
_LONGEST_FAILED_WAIT = 30.0
_SQLITE = "sqlite:"
_POISON = "-poison"
_LOST = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
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

    def watch(self, queue: str, told: Callable[[], None]) -> None:
        """Tell, from now on, when there is a message to receive, if the service can."""

    def close(self) -> None:
        """Close the connections."""


class StorageQueueService:
    """Azure Storage queues, Azurite's included."""

    encoded = True

    def __init__(self, connection_string: str, parts: Mapping[str, str]) -> None:
        # Imported here because these are slow to import and sqlite: needs none of them.
        from azure.core.exceptions import HttpResponseError  # noqa: PLC0415
        from azure.storage.queue import ExponentialRetry, QueueServiceClient  # noqa: PLC0415

        self._error = HttpResponseError
        # Two repetitions a second apart; Python's own default would hold up a stop for a minute.
        options: dict[str, Any] = {
            "retry_policy": ExponentialRetry(
                initial_backoff=0, increment_base=1, retry_total=2, random_jitter_range=0
            ),
            "connection_timeout": 20,
            "read_timeout": 30,
        }
        self._credential: DefaultAzureCredential | ManagedIdentityCredential | None = None
        if connection_string:
            if connection_string.replace(" ", "").lower() == "usedevelopmentstorage=true":
                connection_string = DEVELOPMENT_STORAGE
            self._client = QueueServiceClient.from_connection_string(connection_string, **options)
            return
        name = parts.get("accountName")
        url = f"https://{name}.queue.core.windows.net" if name else parts["queueServiceUri"]
        self._credential = _credential(parts)
        self._client = QueueServiceClient(url, self._credential, **options)

    @property
    def url(self) -> str:
        """The address of the account's queues."""
        return str(self._client.url)

    def receive(self, queue: str, limit: int, hide: timedelta) -> list[Message]:
        """Receive messages; see QueueService."""
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
        except self._error as error:
            if error.status_code == HTTPStatus.NOT_FOUND:
                return []
            raise

    def renew(self, queue: str, message: Message, receipt: str, hide: timedelta) -> str:
        """Hide a message again; see QueueService."""
        seconds = int(hide.total_seconds())
        with self._gone(message):
            updated = self._client.get_queue_client(queue).update_message(
                message.id, receipt, visibility_timeout=seconds
            )
        return str(updated.pop_receipt)

    def delete(self, queue: str, message: Message, receipt: str) -> None:
        """Delete a message; see QueueService."""
        with self._gone(message):
            self._client.get_queue_client(queue).delete_message(message.id, receipt)

    @contextmanager
    def _gone(self, message: Message) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            mismatch = getattr(error, "error_code", "") == "PopReceiptMismatch"
            if mismatch or error.status_code in _LOST:
                raise Gone(message.id) from error
            raise

    def send(self, queue: str, body: str) -> None:
        """Send a message; see QueueService."""
        client = self._client.get_queue_client(queue)
        try:
            client.send_message(body)
        except self._error as error:
            if error.status_code != HTTPStatus.NOT_FOUND:
                raise
            try:
                client.create_queue()
            except self._error as existing:
                if existing.status_code != HTTPStatus.CONFLICT:  # another was quicker
                    raise
            client.send_message(body)

    def watch(self, queue: str, told: Callable[[], None]) -> None:
        """Do nothing: Azure's queues tell nobody, they are polled."""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        if self._credential is not None:
            self._credential.close()


def _credential(parts: Mapping[str, str]) -> DefaultAzureCredential | ManagedIdentityCredential:
    from azure import identity  # noqa: PLC0415 - slow to import

    client_id = parts.get("clientId")
    if parts.get("credential", "").lower() == "managedidentity":
        return identity.ManagedIdentityCredential(client_id=client_id)
    return identity.DefaultAzureCredential(managed_identity_client_id=client_id)


class SqliteQueueService:
    """The product's embedded queues, which this host can pump as if they were Azure's."""

    encoded = False

    def __init__(self, path: Path) -> None:
        # Only where the app uses it.
        from rebuilder.errors import TransientError  # noqa: PLC0415
        from rebuilder.sqlite import queues  # noqa: PLC0415

        self._queues = queues.SqliteQueues(path)
        self._gone = queues.MessageGone
        self._unusable = TransientError
        self._told: dict[str, list[Callable[[], None]]] = {}
        self._stopped = threading.Event()
        self._watcher: threading.Thread | None = None

    @contextmanager
    def _translated(self, message: str = "") -> Iterator[None]:
        try:
            yield
        except self._gone as error:
            raise Gone(message) from error
        except self._unusable as error:
            raise HostError(str(error)) from error

    def receive(self, queue: str, limit: int, hide: timedelta) -> list[Message]:
        """Receive messages; see QueueService."""
        with self._translated():
            received = self._queues.receive(queue, limit, hide)
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
            for m in received
        ]

    def renew(self, queue: str, message: Message, receipt: str, hide: timedelta) -> str:
        """Hide a message again; see QueueService."""
        with self._translated(message.id):
            return self._queues.renew(queue, message.id, receipt, hide)

    def delete(self, queue: str, message: Message, receipt: str) -> None:
        """Delete a message; see QueueService."""
        with self._translated(message.id):
            self._queues.delete(queue, message.id, receipt)

    def send(self, queue: str, body: str) -> None:
        """Send a message; see QueueService."""
        with self._translated():
            self._queues.send(queue, body)

    def watch(self, queue: str, told: Callable[[], None]) -> None:
        """Tell when there is a message to receive; see QueueService."""
        self._told.setdefault(queue, []).append(told)
        if self._watcher is None:
            arguments = (self._told, self._tell, self._stopped)
            self._watcher = threading.Thread(
                target=self._queues.watch, args=arguments, name="queue-watch", daemon=True
            )
            self._watcher.start()

    def _tell(self, queue: str) -> None:
        for told in self._told[queue]:
            told()

    def close(self) -> None:
        """Close the connections."""
        self._stopped.set()
        if self._watcher is not None:
            self._watcher.join()
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


def metadata(message: Message, body: str) -> dict[str, Typed]:
    """Return a queue trigger's metadata: what the host knows, then the body's own JSON keys.

    The body's keys win, in any case: a message {"id": 1} hides its own id. The real host does so.
    Source: azure-functions-host, Utility.ApplyBindingData.
    """
    values: dict[str, Typed] = {
        "DequeueCount": (str(message.dequeue_count), "json"),
        "ExpirationTime": (json.dumps(message.expires_at.isoformat()), "json"),
        "InsertionTime": (json.dumps(message.inserted_at.isoformat()), "json"),
        "NextVisibleTime": (json.dumps(message.next_visible_at.isoformat()), "json"),
        "Id": (message.id, "string"),
        "PopReceipt": (message.pop_receipt, "string"),
        "QueueTrigger": (body, "string"),
    }
    parsed = _parsed(body)
    if isinstance(parsed, dict):
        names = {name.lower(): name for name in values}
        for key, value in parsed.items():
            if value is not None and not isinstance(value, list):
                values[names.setdefault(key.lower(), key)] = (
                    (json.dumps(value), "json")
                    if isinstance(value, dict)
                    else (str(value), "string")
                )
    return values


def messages(typed: Typed) -> list[str]:
    """Return the messages that an output of this value is: one per item of a list.

    Source: azure-functions-host, FunctionBinding.
    """
    value, kind = typed
    if kind == "bytes":
        return [bytes(value).decode("utf-8", "replace")]
    if kind not in ("json", "string"):
        return [json.dumps(value)]
    parsed = _parsed(value)
    if isinstance(parsed, list):
        return [item if isinstance(item, str) else json.dumps(item) for item in parsed]
    return [json.dumps(parsed) if isinstance(parsed, dict) else str(value)]


def encode(service: QueueService, options: QueueOptions, text: str) -> str:
    """Return a message as it lies in the queue."""
    if not service.encoded or options.message_encoding == "none":
        return text
    return base64.b64encode(text.encode()).decode()


def decode(service: QueueService, options: QueueOptions, body: str) -> str | None:
    """Return what a message says, or None if it is not the base64 that it should be."""
    if not service.encoded or options.message_encoding == "none":
        return body
    try:
        # .NET skips white space, and puts U+FFFD for what is not UTF-8.
        return base64.b64decode("".join(body.split()), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None


def _parsed(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


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
        run: Callable[[str, Mapping[str, Typed]], Future[Result]],
    ) -> None:
        self._queue = queue
        self._service = service
        self._options = options
        self._run = run
        self._changed = threading.Condition()
        self._stopping = False
        self._hurry = False
        self._in_flight = 0
        self._polls = 0  # begun
        self._empty = 0  # the last one that found nothing
        most = options.batch_size + options.new_batch_threshold
        self._pool = ThreadPoolExecutor(most, f"queue-{queue}")
        self._thread = threading.Thread(target=self._pump, name=f"pump-{queue}", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._service.watch(self._queue, self._poll_now)
        self._thread.start()

    def _poll_now(self) -> None:
        with self._changed:
            if not self._hurry:
                self._hurry = True
                self._changed.notify_all()

    def halt(self) -> None:
        """Poll no more; running functions go on."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, seconds: float | None) -> bool:
        """Wait, after halt, for the messages in hand; tell whether none is left."""
        if self._thread.ident is None:
            return True
        self._thread.join(seconds)
        with self._changed:
            over = self._changed.wait_for(lambda: not self._in_flight, seconds)
        if over and not self._thread.is_alive():
            self._pool.shutdown()
            return True
        return False

    def wait_empty(self, seconds: float) -> bool:
        """Poll at once; tell whether, in time, nothing was found and nothing was in hand."""
        with self._changed:
            wanted = self._polls + 1
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(
                lambda: self._stopping or (self._empty >= wanted and not self._in_flight), seconds
            )

    def _pump(self) -> None:
        pause, failed = _FIRST_WAIT, _FAILED_WAIT
        longest = self._options.max_polling_interval.total_seconds()
        while self._room():
            try:
                received = self._service.receive(self._queue, self._options.batch_size, HIDE)
            except Exception as error:
                # The real host shuts down on most of these, and the platform starts it again.
                text = "queue %s cannot be received from, again in %s s: %s"
                known = isinstance(error, HostError)
                log.log(logging.ERROR, text, self._queue, failed, error, exc_info=not known)
                self._rest(failed)
                failed = min(failed * 2, _LONGEST_FAILED_WAIT)
                continue
            failed = _FAILED_WAIT
            with self._changed:
                self._in_flight += len(received)
                if not received:
                    self._empty = self._polls
                    self._changed.notify_all()
            for message in received:
                self._pool.submit(self._process, message)
            if received:
                pause = _FIRST_WAIT
                continue
            self._pause(pause)
            pause = min(pause * 2, longest)

    def _room(self) -> bool:
        """Wait until another batch may be received; tell whether it should be."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or self._in_flight <= self._options.new_batch_threshold
            )
            self._polls += 1
            self._hurry = False
            return not self._stopping

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or self._hurry,
                seconds * random.uniform(0.8, 1.2),  # noqa: S311 - a jitter
            )

    def _rest(self, seconds: float) -> None:
        """Wait, whatever messages are told of: they cannot be received."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)

    def _process(self, message: Message) -> None:
        try:
            self._handle(message)
        except (CancelledError, HostError) as error:
            text = "queue %s: message %s is left to come again: %s"
            log.warning(text, self._queue, message.id, error or "the host stops")
        except Exception:
            # It stays hidden until its ten minutes are over, and comes again.
            log.exception("queue %s: message %s", self._queue, message.id)
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def _handle(self, message: Message) -> None:
        body = decode(self._service, self._options, message.body)
        most = self._options.max_dequeue_count
        over = self._has_poison_queue() and message.dequeue_count > most
        if body is None or over:
            self._poison(message, message.pop_receipt)
            return
        running = self._run(body, metadata(message, body))
        receipt = self._keep_hidden(message, running)
        try:
            if running.result().ok:
                self._service.delete(self._queue, message, receipt)
            elif message.dequeue_count >= most or not self._has_poison_queue():
                self._poison(message, receipt)
            else:
                hide = self._options.visibility_timeout
                self._service.renew(self._queue, message, receipt, hide)
        except Gone:
            log.warning("queue %s: message %s was taken by another", self._queue, message.id)

    def _keep_hidden(self, message: Message, running: Future[Result]) -> str:
        """Renew a message until its function ends or it is lost; return the last receipt."""
        receipt = message.pop_receipt
        while not wait([running], RENEW.total_seconds()).done:
            try:
                receipt = self._service.renew(self._queue, message, receipt, HIDE)
            except Gone:
                log.warning("queue %s: message %s was lost", self._queue, message.id)
                break
        return receipt

    def _has_poison_queue(self) -> bool:
        return not self._queue.endswith(_POISON)

    def _poison(self, message: Message, receipt: str) -> None:
        if not self._has_poison_queue():
            return  # it stays hidden until its ten minutes are over
        poison = f"{self._queue}{_POISON}"
        log.error(
            "queue %s: message %s, received %s times, moved to %s",
            self._queue,
            message.id,
            message.dequeue_count,
            poison,
        )
        self._service.send(poison, message.body)
        self._service.delete(self._queue, message, receipt)
