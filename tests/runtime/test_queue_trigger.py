"""Queue functions, on the embedded queues and on Azure Storage queues (Azurite)."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueServiceClient

from localcloud.functionshost import FunctionsHost, Invocation, queues
from localcloud.functionshost.settings import HostError, QueueOptions, connection
from localcloud.functionshost.worker import Result, failed
from rebuilder.sqlite.queues import SqliteQueues
from tests.azurite import Azurite
from tests.patience import SECONDS, until
from tests.runtime.apps import FAST, probe, running, write

APP = """
@app.queue_trigger(arg_name="m", queue_name="%QUEUE%", connection="S")
def work(m: func.QueueMessage) -> None:
    text = m.get_body().decode()
    probe.say(text)
    if text == "hold":
        probe.hold()
    if text == "fail":
        raise ValueError("boom")
"""


class Account:
    """A storage account as a test sees it: not through the host's own code."""

    def __init__(self, setting: str) -> None:
        self.setting = setting
        self._path = Path(setting.removeprefix("sqlite:")) if setting[:7] == "sqlite:" else None
        self._client = None if self._path else QueueServiceClient.from_connection_string(setting)
        self._sqlite = SqliteQueues(self._path) if self._path else None

    def send(self, queue: str, text: str, *, raw: bool = False) -> None:
        """Send a message, as base64 where the account's are."""
        if self._sqlite is not None:
            self._sqlite.send(queue, text)
            return
        client = self._queue(queue)
        if queue not in [each.name for each in self._service().list_queues()]:
            client.create_queue()
        client.send_message(text if raw else base64.b64encode(text.encode()).decode())

    def count(self, queue: str) -> int:
        """Count the messages, hidden ones too; -1 if the account has no such queue."""
        if self._path is not None:
            if not self._path.exists():
                return -1
            with closing(sqlite3.connect(self._path)) as db:
                rows = db.execute("SELECT COUNT(*) FROM messages WHERE queue = ?", (queue,))
                return int(rows.fetchone()[0])
        try:
            return int(self._queue(queue).get_queue_properties().approximate_message_count or 0)
        except ResourceNotFoundError:
            return -1

    def visible(self, queue: str) -> list[str]:
        """Return the messages that others can receive, as they lie there."""
        if self._sqlite is not None:
            return [m.body for m in self._sqlite.receive(queue, 32, timedelta())]
        return [str(m.content) for m in self._queue(queue).peek_messages(32)]

    def texts(self, queue: str) -> list[str]:
        """Return what those messages say."""
        if self._sqlite is not None:
            return self.visible(queue)
        return [base64.b64decode(text).decode() for text in self.visible(queue)]

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def _service(self) -> QueueServiceClient:
        assert self._client is not None
        return self._client

    def _queue(self, queue: str) -> Any:  # noqa: ANN401 - Azure's client
        return self._service().get_queue_client(queue)


@pytest.fixture(name="account", params=["sqlite", "azurite"])
def _account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Account]:
    setting = f"sqlite:{tmp_path / 'queues.db'}"
    if request.param == "azurite":
        azurite: Azurite = request.getfixturevalue("azurite")
        setting = azurite.connection_string
    account = Account(setting)
    yield account
    account.close()


@pytest.fixture(name="sqlite")
def _sqlite(tmp_path: Path) -> Account:
    return Account(f"sqlite:{tmp_path / 'queues.db'}")


@pytest.fixture(name="azure")
def _azure(azurite: Azurite) -> Iterator[Account]:
    account = Account(azurite.connection_string)
    yield account
    account.close()


@pytest.fixture(name="queue")
def _queue() -> str:
    return f"q-{uuid.uuid4().hex}"


def settings(account: Account, queue: str) -> dict[str, str]:
    """Return the app's settings."""
    return {"S": account.setting, "QUEUE": queue}


def options(**values: object) -> dict[str, Any]:
    """Return a host.json with queue options."""
    return {"version": "2.0", "extensions": {"queues": {**FAST, **values}}}


def test_a_message_is_run_and_deleted(account: Account, queue: str, tmp_path: Path) -> None:
    """Whole, once, and the invocation tells which message it was."""
    told: list[Invocation] = []
    account.send(queue, "grüße")
    with running(tmp_path, APP, settings(account, queue), on_invocation=told.append) as host:
        assert host.wait_idle(SECONDS)
        assert probe.said == ["grüße"]
        assert account.count(queue) == 0
    assert told[0].trigger.startswith("message ")
    assert told[0].trigger.endswith(f" of queue {queue}")


def test_the_trigger_waits_for_its_queue(account: Account, queue: str, tmp_path: Path) -> None:
    """It polls for a queue that is not there, and does not make it."""
    with running(tmp_path, APP, settings(account, queue)) as host:
        assert host.wait_idle(SECONDS)
        assert account.count(queue) < 1
        account.send(queue, "late")
        assert probe.wait(1) == ["late"]


def test_a_message_that_keeps_failing_is_poison(
    account: Account, queue: str, tmp_path: Path
) -> None:
    """After maxDequeueCount runs its body alone goes to the poison queue, made for it."""
    account.send(queue, "fail")
    told: list[Invocation] = []
    with running(
        tmp_path,
        APP,
        settings(account, queue),
        host=options(maxDequeueCount=3),
        on_invocation=told.append,
    ) as host:
        until(lambda: account.count(f"{queue}-poison") == 1)
        assert host.wait_idle(SECONDS)
        assert probe.said == ["fail"] * 3
        assert [each.result.ok for each in told] == [False] * 3
        assert account.count(queue) == 0
    assert account.texts(f"{queue}-poison") == ["fail"]


def test_a_failed_message_hides_for_visibility_timeout(
    account: Account, queue: str, tmp_path: Path
) -> None:
    """Until then nobody sees it; wait_idle does not wait for it."""
    account.send(queue, "fail")
    content = options(visibilityTimeout="01:00:00")
    with running(tmp_path, APP, settings(account, queue), host=content) as host:
        assert probe.wait(1) == ["fail"]
        assert host.wait_idle(SECONDS)
        assert account.visible(queue) == []
        assert account.count(queue) == 1
    assert probe.said == ["fail"]


def test_a_message_received_too_often_is_poison_unrun(
    account: Account, queue: str, tmp_path: Path
) -> None:
    """As when hosts died with it: a dequeue count above the limit is enough."""
    account.send(queue, "innocent")
    service = queues.open_service(account.setting, {})
    for _ in range(2):
        (message,) = service.receive(queue, 1, timedelta(hours=1))
        service.renew(queue, message, message.pop_receipt, timedelta())
    service.close()
    with running(tmp_path, APP, settings(account, queue), host=options(maxDequeueCount=1)):
        until(lambda: account.count(f"{queue}-poison") == 1)
    assert probe.said == []


def test_a_poison_queue_has_no_poison_queue(
    sqlite: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that fails there stays hidden its ten minutes, and runs past the limit."""
    monkeypatch.setattr(queues, "HIDE", timedelta(seconds=1))
    sqlite.send("q-poison", "fail")
    content = options(maxDequeueCount=1)
    with running(tmp_path, APP, settings(sqlite, "q-poison"), host=content):
        assert probe.wait(2)[:2] == ["fail", "fail"]
        assert sqlite.count("q-poison") == 1
        assert sqlite.count("q-poison-poison") == 0


def test_what_is_not_base64_is_poison_unrun(azure: Account, queue: str, tmp_path: Path) -> None:
    """At the first receive, as it was; white space does no harm, and no more does bad UTF-8."""
    azure.send(queue, "{not base64}", raw=True)
    azure.send(queue, "b2\ns=", raw=True)
    azure.send(queue, "/w==", raw=True)
    with running(tmp_path, APP, settings(azure, queue)) as host:
        until(lambda: azure.count(f"{queue}-poison") == 1)
        assert host.wait_idle(SECONDS)
    assert sorted(probe.said) == ["ok", "\ufffd"]
    assert azure.visible(f"{queue}-poison") == ["{not base64}"]


def test_plain_messages_where_host_json_says_so(azure: Account, queue: str, tmp_path: Path) -> None:
    """MessageEncoding none takes the text as it is."""
    azure.send(queue, "{plain}", raw=True)
    content = options(messageEncoding="none")
    with running(tmp_path, APP, settings(azure, queue), host=content) as host:
        assert host.wait_idle(SECONDS)
    assert probe.said == ["{plain}"]


METADATA = """
@app.queue_trigger(arg_name="m", queue_name="%QUEUE%", connection="S")
def work(m: func.QueueMessage) -> None:
    times = m.insertion_time, m.expiration_time, m.time_next_visible
    probe.say((m.id, m.dequeue_count, m.pop_receipt, times))
"""


def test_metadata(account: Account, queue: str, tmp_path: Path) -> None:
    """Id, count, receipt and times reach the function."""
    # Azurite keeps no fractions of a second.
    before = datetime.now(UTC).replace(microsecond=0)
    account.send(queue, "text")
    with running(tmp_path, METADATA, settings(account, queue)) as host:
        assert host.wait_idle(SECONDS)
    (told,) = probe.said
    number, count, receipt, (inserted, expires, visible) = told
    assert number
    assert receipt
    assert count == 1
    assert before <= inserted < visible < expires
    assert before + queues.HIDE <= visible <= datetime.now(UTC) + queues.HIDE


def test_a_bodys_keys_hide_the_metadata(account: Account, queue: str, tmp_path: Path) -> None:
    """In any case; numbers arrive as texts, lists and nulls do not count."""
    body = {"ID": 7, "dequeuecount": "3", "PopReceipt": ["x"], "insertionTime": None, "k": True}
    account.send(queue, json.dumps(body))
    with running(tmp_path, METADATA, settings(account, queue)) as host:
        assert host.wait_idle(SECONDS)
    (told,) = probe.said
    assert told[:2] == ("7", 3)
    assert told[2] != "x"
    assert told[3][0] is not None


def test_metadata_of_other_bodies() -> None:
    """Objects arrive as JSON, further keys by their own names; what is no object adds nothing."""
    service_message = queues.Message("1", "", "r", 1, *[queues._UNKNOWN] * 3)
    own = set(queues.metadata(service_message, "text"))
    assert own == set(queues.metadata(service_message, "[1]"))
    assert own == set(queues.metadata(service_message, "[" * 100_000))
    more = queues.metadata(service_message, '{"a": {"b": 1}, "c": true}')
    assert more["a"] == ('{"b": 1}', "json")
    assert more["c"] == ("True", "string")


def test_parallel_runs_keep_to_batch_size_and_threshold(sqlite: Account, tmp_path: Path) -> None:
    """No more than batchSize + newBatchThreshold at a time, and so many indeed."""
    for _ in range(7):
        sqlite.send("q", "hold")
    content = options(batchSize=2, newBatchThreshold=1)
    with running(tmp_path, APP, settings(sqlite, "q"), host=content) as host:
        probe.wait(2)
        assert not host.wait_idle(0.3)
        most = len(probe.said)
        assert 2 <= most <= 3
        probe.gate.set()
        assert len(probe.wait(7)) == 7
        assert host.wait_idle(SECONDS)
        assert sqlite.count("q") == 0


def test_a_long_run_keeps_its_message(
    account: Account, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hidden anew while the function runs, each time by the last receipt, by which it ends."""
    monkeypatch.setattr(queues, "RENEW", timedelta(seconds=0.05))
    renewals: list[tuple[str, str, timedelta]] = []
    for kind in (queues.SqliteQueueService, queues.StorageQueueService):
        plain = kind.renew

        def noted(*args: Any, plain: Any = plain) -> str:  # noqa: ANN401 - a wrapper
            *_, shown, hide = args
            given = str(plain(*args))
            renewals.append((shown, given, hide))
            return given

        monkeypatch.setattr(kind, "renew", noted)
    account.send(queue, "hold")
    with running(tmp_path, APP, settings(account, queue)) as host:
        until(lambda: len(renewals) > 3)
        assert account.visible(queue) == []
        probe.gate.set()
        assert host.wait_idle(SECONDS)
        assert probe.said == ["hold"]
        assert account.count(queue) == 0
    assert {hide for _, _, hide in renewals} == {queues.HIDE}
    assert all(given == shown for (_, given, _), (shown, _, _) in pairwise(renewals))


def test_a_run_that_outlasts_the_hiding_is_not_run_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two renewals nearly the whole time passes, and nobody else sees the message."""
    monkeypatch.setattr(queues, "RENEW", timedelta(seconds=0.01))
    times = [datetime(2026, 1, 1, tzinfo=UTC)]
    store = SqliteQueues(tmp_path / "queues.db", lambda: times[-1])
    service = queues.SqliteQueueService(tmp_path / "queues.db")
    monkeypatch.setattr(service, "_queues", store)
    running_: Future[Result] = Future()
    begun: list[str] = []
    plain, seen = service.renew, []

    def renew(queue: str, message: queues.Message, receipt: str, hide: timedelta) -> str:
        given = plain(queue, message, receipt, hide)
        times.append(times[-1] + hide - timedelta(seconds=1))
        seen.extend(store.receive("q", 1, timedelta(hours=1)))
        if len(times) == 5:
            running_.set_result(Result(ok=True, value=None, error=None, outputs={}))
        return given

    def run(body: str, _: object) -> Future[Result]:
        begun.append(body)
        return running_

    monkeypatch.setattr(service, "renew", renew)
    store.send("q", "long")
    pump = queues.QueuePump("q", service, QueueOptions(), run)
    pump.start()
    assert running_.result(SECONDS).ok
    assert pump.wait_empty(SECONDS)
    pump.halt()
    assert pump.join(SECONDS)
    times.append(times[-1] + timedelta(hours=1))
    left = store.receive("q", 1, timedelta())
    service.close()

    assert begun == ["long"]
    assert (seen, left) == ([], [])


def test_a_message_lost_meanwhile_is_left_to_its_new_owner(
    account: Account,
    queue: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The run goes on, renewing ends, and the message is neither deleted nor poisoned."""
    monkeypatch.setattr(queues, "HIDE", timedelta(seconds=1))
    account.send(queue, "hold")
    # One at a time, so that the host does not receive it again itself.
    content = options(batchSize=1, newBatchThreshold=0)
    with running(tmp_path, APP, settings(account, queue), host=content) as host:
        probe.wait(1)
        host.drain()
        service = queues.open_service(account.setting, {})
        until(lambda: bool(service.receive(queue, 1, timedelta(hours=1))))
        service.close()
        monkeypatch.setattr(queues, "RENEW", timedelta(seconds=0.05))
        probe.gate.set()
        until(lambda: "taken by another" in caplog.text or "was lost" in caplog.text)
    assert probe.said == ["hold"]
    assert account.count(queue) == 1


def test_renewing_ends_when_the_message_is_lost(
    sqlite: Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One failed renewal is enough; the function is not disturbed."""
    monkeypatch.setattr(queues, "RENEW", timedelta(seconds=0.05))
    sqlite.send("q", "hold")
    with running(tmp_path, APP, settings(sqlite, "q")) as host:
        probe.wait(1)
        with closing(sqlite3.connect(tmp_path / "queues.db")) as db, db:
            db.execute("UPDATE messages SET receipt = 'of another'")
        until(lambda: "was lost" in caplog.text)
        probe.gate.set()
        assert host.wait_idle(SECONDS)
    assert caplog.text.count("was lost") == 1
    assert probe.said == ["hold"]
    assert sqlite.count("q") == 1


def test_stop_leaves_what_does_not_end_and_loses_no_message(
    account: Account, queue: str, tmp_path: Path
) -> None:
    """The stop comes back after its grace; the message is still there, hidden."""
    probe.reset()
    account.send(queue, "hold")
    host = FunctionsHost(write(tmp_path, APP), settings(account, queue))
    host.start()
    probe.wait(1)
    host.stop(grace=0.1)
    assert account.count(queue) == 1
    assert account.visible(queue) == []
    probe.gate.set()


def test_a_queue_that_cannot_be_reached_is_polled_on(
    queue: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, the host runs on, is not idle, and stops in good time."""
    nowhere = (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;"
        "QueueEndpoint=http://127.0.0.1:1/a;"
    )
    with running(tmp_path, APP, {"S": nowhere, "QUEUE": queue}) as host:
        until(lambda: "cannot be received from" in caplog.text)
        assert not host.wait_idle(0.1)
        assert host.state == "Running"
    assert "YQ==" not in caplog.text


def test_a_store_that_cannot_be_written_is_told_now_and_then(
    sqlite: Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not at each look at the messages that wait; without a traceback; and then it goes on."""
    monkeypatch.setattr("rebuilder.sqlite._database._BUSY_SECONDS", 0.01)
    monkeypatch.setattr(queues, "_FAILED_WAIT", 0.3)
    sqlite.send("q", "text")
    with closing(sqlite3.connect(tmp_path / "queues.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with running(tmp_path, APP, settings(sqlite, "q")) as host:
            # After 0.3, 0.6 and 1.2 s; the watch looks each 5 ms.
            until(lambda: caplog.text.count("is locked") >= 3)
            assert caplog.text.count("cannot be received from") == 3
            assert "Traceback" not in caplog.text
            other.rollback()
            probe.wait(1)
            assert host.wait_idle(SECONDS)
    assert probe.said == ["text"]


OUTPUT = """
@app.queue_trigger(arg_name="m", queue_name="%QUEUE%", connection="S")
@app.queue_output(arg_name="out", queue_name="%QUEUE%-out", connection="S")
def work(m: func.QueueMessage, out: func.Out[str]) -> None:
    out.set(m.get_body().decode())

@app.event_grid_trigger(arg_name="event")
@app.queue_output(arg_name="$return", queue_name="%QUEUE%-out", connection="S")
def back(event: func.EventGridEvent) -> str:
    return event.id

@app.event_grid_trigger(arg_name="event")
@app.queue_output(arg_name="out", queue_name="%QUEUE%-out", connection="S")
def fails(event: func.EventGridEvent, out: func.Out[str]) -> None:
    out.set("never")
    raise ValueError("boom")
"""


def test_outputs_are_sent_after_success(account: Account, queue: str, tmp_path: Path) -> None:
    """To a queue made on first use: one message per item of a list, else the text itself."""
    for text in ("plain", '{"a":1}', '["x", {"b": 2}]'):
        account.send(queue, text)
    with running(tmp_path, OUTPUT, settings(account, queue)) as host:
        assert host.wait_idle(SECONDS)
        for name in ("back", "fails"):
            event = ('{"id": "returned", "data": {}}', "json")
            result = host.invoke(host.functions[name], event, trigger="test").result(SECONDS)
            assert result.ok is (name == "back")
    sent = account.texts(f"{queue}-out")
    assert sorted(sent) == sorted(["plain", '{"a": 1}', "x", '{"b": 2}', "returned"])


def test_an_output_that_cannot_be_sent_fails_the_run(
    sqlite: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message that caused it comes again."""

    def refuse(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(queues.SqliteQueueService, "send", refuse)
    sqlite.send("q", "text")
    told: list[Invocation] = []
    content = options(visibilityTimeout="01:00:00")
    with running(
        tmp_path, OUTPUT, settings(sqlite, "q"), host=content, on_invocation=told.append
    ) as host:
        until(lambda: bool(told))
        assert host.wait_idle(SECONDS)
    assert told[0].result == failed("output: OSError: the disk is full")
    assert sqlite.count("q") == 1


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ((b"\xff", "bytes"), ["\ufffd"]),
        (("7", "json"), ["7"]),
        (('[1, "a", null]', "json"), ["1", "a", "null"]),
        ((7, "int"), ["7"]),
        (({"a": 1}, "dict"), ['{"a": 1}']),
    ],
)
def test_outputs_of_every_type(typed: tuple[Any, str], sent: list[str]) -> None:
    """What the worker hands over becomes text."""
    assert queues.messages(typed) == sent


@pytest.mark.parametrize(
    ("name", "given", "found"),
    [
        ("X", {"AzureWebJobsX": "1", "X": "2"}, ("1", {})),
        ("X", {"X": "2", "X__accountName": "a"}, ("2", {})),
        ("", {"AzureWebJobsStorage": "3"}, ("3", {})),
        ("Storage", {"AzureWebJobsStorage": "3"}, ("3", {})),
        ("AzureWebJobsStorage", {"AzureWebJobsStorage": "3"}, ("3", {})),
        ("X", {"X__accountName": "a"}, ("", {"accountName": "a"})),
        ("X", {"X__queueServiceUri": "u"}, ("", {"queueServiceUri": "u"})),
    ],
)
def test_connections(name: str, given: dict[str, str], found: tuple[str, dict[str, str]]) -> None:
    """AzureWebJobsX before X, a string before its parts, blank is AzureWebJobsStorage."""
    assert connection(name, given) == found


def test_a_missing_connection_is_named() -> None:
    """In the words of the real host."""
    with pytest.raises(HostError, match="'AzureWebJobsStorage' does not exist"):
        connection("", {})
    with pytest.raises(HostError, match="'AzureWebJobsX' does not exist"):
        connection("X", {"X__clientId": "a"})


@pytest.mark.parametrize(
    ("text", "parts", "url"),
    [
        ("UseDevelopmentStorage=true", {}, "http://127.0.0.1:10001/devstoreaccount1"),
        (
            "",
            {"accountName": "acct", "queueServiceUri": "https://other", "clientId": "c"},
            "https://acct.queue.core.windows.net/",
        ),
        (
            "",
            {"queueServiceUri": "https://other", "credential": "managedidentity"},
            "https://other/",
        ),
    ],
)
def test_accounts(text: str, parts: dict[str, str], url: str) -> None:
    """Development storage is Azurite; an account's name comes before its address."""
    service = queues.StorageQueueService(text, parts)
    assert service.url.rstrip("/") == url.rstrip("/")
    service.close()


def test_wait_idle_waits_for_chains(account: Account, queue: str, tmp_path: Path) -> None:
    """A message that a function sends on is waited for, too."""
    code = """
@app.queue_trigger(arg_name="m", queue_name="%QUEUE%", connection="S")
@app.queue_output(arg_name="out", queue_name="%QUEUE%", connection="S")
def work(m: func.QueueMessage, out: func.Out[str]) -> None:
    number = int(m.get_body())
    probe.say(number)
    if number:
        out.set(str(number - 1))
"""
    account.send(queue, "5")
    with running(tmp_path, code, settings(account, queue)) as host:
        assert host.wait_idle(SECONDS)
        assert probe.said == [5, 4, 3, 2, 1, 0]


def test_polling_backs_off(sqlite: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty polls are farther and farther apart, from 100 ms up to maxPollingInterval."""
    pauses: list[float] = []
    enough = threading.Event()

    def pause(self: queues.QueuePump, seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            enough.set()
        if len(pauses) > 3:
            self.halt()

    monkeypatch.setattr(queues.QueuePump, "_pause", pause)

    def run(*_: object) -> Any:  # noqa: ANN401 - never called
        raise AssertionError

    service = queues.open_service(sqlite.setting, {})
    pump = queues.QueuePump(
        "q", service, QueueOptions(max_polling_interval=timedelta(seconds=0.5)), run
    )
    pump.start()
    assert enough.wait(SECONDS)
    assert pump.join(SECONDS)
    service.close()
    assert pauses == [0.1, 0.2, 0.4, 0.5]


def test_an_embedded_message_is_not_waited_for(
    sqlite: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded store tells of a message, so that a long pause between polls ends at once."""
    monkeypatch.setattr(queues, "_FIRST_WAIT", 600.0)
    ran = threading.Event()

    def run(body: str, _: object) -> Future[Result]:
        assert body == "hello"
        ran.set()
        done: Future[Result] = Future()
        done.set_result(Result(ok=True, value=None, error=None, outputs={}))
        return done

    service = queues.open_service(sqlite.setting, {})
    pump = queues.QueuePump("q", service, QueueOptions(), run)
    pump.start()
    # Empty by then, so the pump sleeps for ten minutes.
    assert pump.wait_empty(SECONDS)
    service.send("q", "hello")
    woken = ran.wait(SECONDS)
    pump.halt()
    assert pump.join(SECONDS)
    service.close()

    assert woken
