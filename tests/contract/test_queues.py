"""What every WorkQueue must do; run on SQLite and on Azure Storage queues (Azurite).

Messages are read back as the Functions host reads them.
"""

from __future__ import annotations

import base64
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.queue import QueueServiceClient

from rebuilder.azure.storage.queues import StorageQueues
from rebuilder.core.rebuilds.messages import MOST_BYTES
from rebuilder.errors import RebuilderError, Refused, TransientError
from rebuilder.ports.queue import Begun, Depth, WorkQueue
from rebuilder.sqlite.queues import MessageGone, SqliteQueues
from tests.azurite import Azurite
from tests.patience import SECONDS, until

type Receive = Callable[[str], list[str]]


@pytest.fixture(name="queues", params=["sqlite", "storage"])
def _queues(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[WorkQueue, Receive]]:
    if request.param == "sqlite":
        sqlite = SqliteQueues(tmp_path / "queues.db")
        hide = timedelta(hours=1)
        yield sqlite, lambda queue: [m.body for m in sqlite.receive(queue, 32, hide)]
        return
    azurite: Azurite = request.getfixturevalue("azurite")
    with QueueServiceClient.from_connection_string(azurite.connection_string) as service:

        def receive(queue: str) -> list[str]:
            client = service.get_queue_client(queue)
            pages = client.receive_messages(max_messages=32, visibility_timeout=3600)
            return [base64.b64decode(str(m.content)).decode() for m in pages]

        yield StorageQueues(service), receive


@pytest.fixture(name="queue")
def _queue() -> str:
    return f"q-{uuid.uuid4().hex}"


def test_a_sent_message_is_received_once(queues: tuple[WorkQueue, Receive], queue: str) -> None:
    """The queue is made on first use; a received message is hidden."""
    work, receive = queues
    work.send(queue, '{"push":"ü"}')

    assert receive(queue) == ['{"push":"ü"}']
    assert receive(queue) == []


def test_what_waits_is_told_and_not_received(queues: tuple[WorkQueue, Receive], queue: str) -> None:
    """A queue that is not there holds nothing; delayed messages wait, and are not the next."""
    work, receive = queues
    assert work.depth(queue) == Depth(0, None)
    assert work.depth(queue, poison=True) == Depth(0, None)
    work.send(queue, "later", timedelta(hours=1))
    assert work.depth(queue) == Depth(1, None)
    work.send(queue, "now")
    work.send(f"{queue}-poison", "given up")
    depth = work.depth(queue)

    assert depth.messages == 2
    assert depth.oldest is not None
    assert abs(datetime.now(UTC) - depth.oldest) < timedelta(minutes=10)
    assert work.depth(queue, poison=True).messages == 1
    assert receive(queue) == ["now"]


def test_a_delayed_message_comes_later(queues: tuple[WorkQueue, Receive], queue: str) -> None:
    """Nobody sees a message before its delay has passed, and everybody after."""
    work, receive = queues
    work.send(queue, "in an hour", timedelta(hours=1))
    work.send(queue, "soon", timedelta(seconds=1))
    work.send(queue, "now")
    seen = receive(queue)
    assert "now" in seen
    while "soon" not in seen:
        seen += until(lambda: receive(queue))

    assert sorted(seen) == ["now", "soon"]


def test_an_embedded_message_comes_when_its_delay_has_passed(tmp_path: Path) -> None:
    """Not a second before."""
    clock = Time()
    queues = SqliteQueues(tmp_path / "q.db", clock)
    queues.send("q", "x", timedelta(seconds=30))
    clock.now += timedelta(seconds=29)
    assert queues.receive("q", 1, timedelta(minutes=1)) == []
    clock.now += timedelta(seconds=1)

    assert [message.body for message in queues.receive("q", 1, timedelta(minutes=1))] == ["x"]


@pytest.mark.parametrize(
    ("delay", "hidden"),
    [
        (timedelta(days=-1), False),
        (timedelta(seconds=-1), False),
        (timedelta(days=7) - timedelta(seconds=1), True),
        (timedelta(days=7), True),
        (timedelta(days=8), True),
        (timedelta(days=3650), True),
    ],
)
def test_a_delay_may_be_longer_than_a_queue_holds(
    queues: tuple[WorkQueue, Receive], queue: str, delay: timedelta, *, hidden: bool
) -> None:
    """The message is taken: it comes earlier than asked then, and not before days have passed."""
    work, receive = queues
    work.send(queue, "later", delay)

    assert receive(queue) == ([] if hidden else ["later"])


def test_many_send_at_once(queues: tuple[WorkQueue, Receive], queue: str) -> None:
    """Every one of many concurrent messages arrives, into a queue that none of them made."""
    work, receive = queues
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: work.send(queue, str(n)), range(20)))

    assert sorted(receive(queue), key=int) == [str(n) for n in range(20)]


def test_many_are_sent_together(queues: tuple[WorkQueue, Receive], queue: str) -> None:
    """Every message arrives, in a queue that is made on first use; none is no error."""
    work, receive = queues
    work.send_many(queue, [])
    work.send_many(queue, [f"ü{number}" for number in range(25)])

    assert sorted(receive(queue)) == sorted(f"ü{number}" for number in range(25))


def test_the_largest_message_is_taken_and_no_larger_one(
    queues: tuple[WorkQueue, Receive], queue: str
) -> None:
    """A queue holds 64 KiB of Base64; of many none is sent if one is too large."""
    work, receive = queues
    largest = "ü" * (MOST_BYTES // 2)
    work.send(queue, largest)
    with pytest.raises(Refused, match="RequestBodyTooLarge"):
        work.send(queue, f"{largest}x")
    with pytest.raises(Refused):
        work.send_many(queue, ["small", f"{largest}x"])

    assert receive(queue) == [largest]


def test_a_message_is_put_off_for_a_week_at_most(
    queues: tuple[WorkQueue, Receive], queue: str
) -> None:
    """Azure refuses more; whoever waits longer looks again in between."""
    work, receive = queues
    work.send(queue, "later", timedelta(days=30))

    assert receive(queue) == []


def test_an_unreachable_store_is_transient(tmp_path: Path) -> None:
    """A message that could not be sent raises what is delivered again."""
    nowhere = (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;"
        "QueueEndpoint=http://127.0.0.1:1/a;"
    )
    with (
        QueueServiceClient.from_connection_string(nowhere, retry_total=0) as service,
        pytest.raises(TransientError),
    ):
        StorageQueues(service).send_many("queue", ["x", "y"])
    with (
        QueueServiceClient.from_connection_string(nowhere, retry_total=0) as service,
        pytest.raises(TransientError),
    ):
        StorageQueues(service).send("queue", "x")
    with pytest.raises(TransientError):
        SqliteQueues(tmp_path).send("queue", "x")


class Time:
    """A clock for the embedded queues, moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


def test_an_embedded_message_comes_back_when_its_time_is_over(tmp_path: Path) -> None:
    """A message that is not deleted is delivered again, with its count and a new receipt."""
    clock = Time()
    queues = SqliteQueues(tmp_path / "q.db", clock)
    queues.send("q", "x")
    (first,) = queues.receive("q", 1, timedelta(seconds=30))
    clock.now += timedelta(seconds=31)
    (second,) = queues.receive("q", 1, timedelta(seconds=30))

    assert (first.dequeue_count, second.dequeue_count) == (1, 2)
    assert first.id == second.id
    with pytest.raises(MessageGone):
        queues.delete("q", first.id, first.pop_receipt)
    with pytest.raises(MessageGone):
        queues.renew("q", first.id, first.pop_receipt, timedelta())
    queues.delete("q", second.id, second.pop_receipt)
    clock.now += timedelta(seconds=31)
    assert queues.receive("q", 1, timedelta(seconds=30)) == []


@pytest.mark.parametrize("running", [True, False])
def test_a_clock_that_was_ahead_hides_no_embedded_message(tmp_path: Path, *, running: bool) -> None:
    """Its holder died in the midst of it; what is to wait for days is not brought back.

    An instance that runs on looks for such messages now and then, and one that starts does at once.
    """
    file, now = tmp_path / "file.db", datetime(2026, 1, 2, 3, tzinfo=UTC)
    right = SqliteQueues(file, lambda: now)
    wrong = SqliteQueues(file, lambda: now + timedelta(days=2))
    if running:
        assert right.receive("q", 9, timedelta(minutes=5)) == []
    right.send("q", "received")
    right.send("q", "of next week", timedelta(days=6))
    assert len(wrong.receive("q", 9, timedelta(minutes=5))) == 1
    wrong.send("q", "sent")
    if running:
        assert right.receive("q", 9, timedelta(minutes=5)) == []
        now += timedelta(minutes=16)
    else:
        right = SqliteQueues(file, lambda: now)
    found = right.receive("q", 9, timedelta(minutes=5))
    assert {message.body for message in found} == {"received", "sent"}
    assert all(message.inserted_at <= now for message in found)
    assert right.receive("q", 9, timedelta(minutes=5)) == []


def test_an_embedded_message_can_be_kept_longer(tmp_path: Path) -> None:
    """Renewing hides a message further and gives a new receipt."""
    clock = Time()
    queues = SqliteQueues(tmp_path / "q.db", clock)
    queues.send("q", "x")
    (message,) = queues.receive("q", 1, timedelta(seconds=30))
    receipt = queues.renew("q", message.id, message.pop_receipt, timedelta(seconds=90))
    clock.now += timedelta(seconds=60)

    assert queues.receive("q", 1, timedelta(seconds=30)) == []
    queues.delete("q", message.id, receipt)
    queues.close()


def test_a_new_file_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    """Whoever comes first makes the tables; nobody fails because of it."""
    for attempt in range(5):
        path = tmp_path / f"{attempt}.db"
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n, path=path: SqliteQueues(path).send("q", str(n)), range(8)))

        assert len(SqliteQueues(path).receive("q", 32, timedelta())) == 8


def test_who_watches_embedded_queues_is_told_of_messages(tmp_path: Path) -> None:
    """Of those that can be received now, not of other queues', and not after the end."""
    queues = SqliteQueues(tmp_path / "queues.db")
    told, stopped, watched = Counter[str](), threading.Event(), ["q-1", "q-2"]
    watcher = threading.Thread(
        target=queues.watch, args=(watched, lambda name: told.update([name]), stopped)
    )
    watcher.start()
    queues.send("q-2", "later", timedelta(minutes=1))
    queues.send("q-3", "not watched")
    queues.send("q-1", "now")
    until(lambda: told["q-1"] > 2)
    watched.append("q-3")
    until(lambda: told["q-3"] > 0)
    stopped.set()
    watcher.join(SECONDS)

    assert not watcher.is_alive()
    assert set(told) == {"q-1", "q-3"}


def test_a_file_that_cannot_be_read_is_watched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever receives sees the error; the watch goes on when it is over."""
    monkeypatch.setattr("rebuilder.sqlite.queues._AGAIN_SECONDS", 0.01)
    folder = tmp_path / "queues.db"
    folder.mkdir()
    queues, told, stopped = SqliteQueues(folder), Counter[str](), threading.Event()
    watcher = threading.Thread(
        target=queues.watch, args=(["q-1"], lambda name: told.update([name]), stopped)
    )
    watcher.start()
    with pytest.raises(TransientError):
        queues.send("q-1", "not kept")
    folder.rmdir()
    queues.send("q-1", "kept")
    until(lambda: told["q-1"] > 0)
    stopped.set()
    watcher.join(SECONDS)

    assert not watcher.is_alive()


def test_what_the_host_gave_up_is_read_and_forgotten(
    queues: tuple[WorkQueue, Receive], queue: str
) -> None:
    """Poison messages are hidden from others while somebody has them; each is forgotten once."""
    work, _ = queues
    assert work.poisoned(queue) == []
    for body in ("one ü", "two"):
        work.send(f"{queue}-poison", body)
    found = work.poisoned(queue)

    assert sorted(message.body for message in found) == ["one ü", "two"]
    assert {message.queue for message in found} == {queue}
    assert work.poisoned(queue) == []
    for message in (*found, found[0]):
        work.forget(message)


@pytest.mark.parametrize(
    ("content", "body", "encoded"),
    [
        ('{"schema":1}', '{"schema":1}', False),
        ("abc", "abc", False),
        ("é", "é", False),
        (" eyJh Ijox\nfQ==", '{"a":1}', True),
        ("7aCA", "\ufffd\ufffd\ufffd", True),
        ("", "", True),
    ],
)
def test_what_is_not_base64_is_told(
    azurite: Azurite,
    queue: str,
    content: str,
    body: str,
    encoded: bool,  # noqa: FBT001
) -> None:
    """It is read as it is; what is Base64 is read as the host reads it."""
    with QueueServiceClient.from_connection_string(azurite.connection_string) as service:
        poison = service.create_queue(f"{queue}-poison")
        poison.send_message(content)
        (found,) = StorageQueues(service).poisoned(queue)

    assert (found.body, found.encoded) == (body, encoded)


def test_a_message_that_is_begun_is_its_senders(
    queues: tuple[WorkQueue, Receive], queue: str
) -> None:
    """Nobody else sees it; done, it is gone; left, others see it, and it is theirs."""
    work, receive = queues
    done = work.begin(queue, "ü done", timedelta(minutes=5))
    left = work.begin(queue, "ü left", timedelta(minutes=5))
    assert receive(queue) == []
    assert (done.queue, done.body) == (queue, "ü done")

    work.finish(done)
    work.leave(left)
    assert receive(queue) == ["ü left"]
    for gone in (done, left):
        work.finish(gone)
        work.leave(gone)
    assert receive(queue) == []


def test_who_dies_leaves_a_message_to_others(queues: tuple[WorkQueue, Receive], queue: str) -> None:
    """When its time has passed; whoever began it can neither end nor give back what others have."""
    work, receive = queues
    begun = work.begin(queue, "x", timedelta(seconds=1))
    assert until(lambda: receive(queue)) == ["x"]
    work.finish(begun)
    work.leave(begun)

    assert receive(queue) == []


def test_a_message_that_is_too_large_is_not_begun(
    queues: tuple[WorkQueue, Receive], queue: str
) -> None:
    """As it is not sent."""
    work, receive = queues
    work.send(queue, "small")
    with pytest.raises(Refused):
        work.begin(queue, "x" * (MOST_BYTES + 1), timedelta(minutes=5))

    assert receive(queue) == ["small"]


def test_a_store_that_refuses_the_end_is_told(queue: str, azurite: Azurite) -> None:
    """What is refused for another reason than that somebody else has the message."""
    key = "=".join(("AccountKey", base64.b64encode(b"another").decode()))
    parts = [p for p in azurite.connection_string.split(";") if p and "AccountKey" not in p]
    begun = Begun(queue, "x", ("id", "receipt"))
    with QueueServiceClient.from_connection_string(";".join((*parts, key))) as service:
        work = StorageQueues(service)
        for end in (work.finish, work.leave):
            with pytest.raises(RebuilderError):
                end(begun)
