"""Queue triggers, embedded and on Azurite; rules of QueueListener and QueueProcessor."""

from __future__ import annotations

import base64
import json
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueServiceClient

from localcloud.functionshost import queues as pump
from localcloud.functionshost.queues import DEVELOPMENT_STORAGE, open_service
from localcloud.functionshost.settings import HostError
from rebuilder.azure.queues import StorageQueues
from rebuilder.sqlite.queues import SqliteQueues
from tests.azurite import Azurite
from tests.runtime.conftest import App, until

CODE = """
    import json, pathlib, threading, time

    @app.queue_trigger(arg_name="m", queue_name="{queue}", connection="Store")
    def work(m: func.QueueMessage):
        body = m.get_body().decode()
        with open(pathlib.Path(__file__).parent / "seen", "a") as file:
            file.write(json.dumps([body, m.id, m.dequeue_count, m.pop_receipt,
                                   str(m.insertion_time), str(m.time_next_visible)]) + chr(10))
        if body == "bad":
            raise ValueError("boom")
        if body == "slow":
            time.sleep(1.5)
"""


@dataclass
class Store:
    """A queue of one of the two kinds."""

    connection: str
    queue: str
    send: Callable[[str], None]
    bodies: Callable[[str], list[str]]


@pytest.fixture(name="store", params=["sqlite", "azurite"])
def _store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    queue = f"q{uuid.uuid4().hex}"
    if request.param == "sqlite":
        path = tmp_path / "queues.db"
        made = SqliteQueues(path)

        def rows(name: str) -> list[str]:
            with closing(sqlite3.connect(path)) as db:
                found = db.execute("SELECT body FROM messages WHERE queue = ?", (name,))
                return [body for (body,) in found]

        return Store(f"sqlite:{path}", queue, lambda body: made.send(queue, body), rows)
    azurite: Azurite = request.getfixturevalue("azurite")

    def send(body: str) -> None:
        with QueueServiceClient.from_connection_string(azurite.connection_string) as service:
            StorageQueues(service).send(queue, body)

    def peeked(name: str) -> list[str]:
        with QueueServiceClient.from_connection_string(azurite.connection_string) as service:
            client = service.get_queue_client(name)
            try:
                count = client.get_queue_properties().approximate_message_count or 0
                found = client.peek_messages(32)
            except ResourceNotFoundError:
                return []
            texts = [base64.b64decode(str(m.content)).decode() for m in found]
            return texts + ["hidden"] * (count - len(texts))

    return Store(azurite.connection_string, queue, send, peeked)


def seen(app: App) -> list[list[Any]]:
    """Return what the function was given."""
    path = app.folder / "seen"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def start(app: App, store: Store) -> None:
    """Start an app with a queue trigger."""
    app.start(CODE.replace("{queue}", store.queue), {"Store": store.connection})


def test_a_message_is_run_and_deleted(app: App, store: Store) -> None:
    """The function gets body and metadata; after success the message is gone."""
    start(app, store)
    store.send("hello")
    until(lambda: app.count() == 1 and store.bodies(store.queue) == [])

    ((body, message_id, count, receipt, inserted, visible),) = seen(app)
    assert (body, count) == ("hello", 1)
    assert message_id
    assert receipt
    assert inserted < visible


def test_a_failing_message_is_tried_five_times_and_poisoned(app: App, store: Store) -> None:
    """MaxDequeueCount runs, counted; then the body alone goes to the poison queue."""
    start(app, store)
    store.send("bad")
    until(lambda: store.bodies(f"{store.queue}-poison") == ["bad"])

    assert [count for _, _, count, *_ in seen(app)] == [1, 2, 3, 4, 5]
    until(lambda: store.bodies(store.queue) == [])


def test_a_failed_message_is_hidden_as_host_json_says(app: App, store: Store) -> None:
    """VisibilityTimeout is the pause between attempts."""
    app.host_json["extensions"] = {"queues": {"visibilityTimeout": "00:10:00"}}
    start(app, store)
    store.send("bad")
    store.send("good")
    until(lambda: app.count() == 2)

    assert sorted(body for body, *_ in seen(app)) == ["bad", "good"]
    until(lambda: len(store.bodies(store.queue)) == 1)


def test_a_slow_message_is_renewed(app: App, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a function runs, nobody else gets its message, however long it takes."""
    monkeypatch.setattr(pump, "HIDE", timedelta(seconds=1))
    monkeypatch.setattr(pump, "RENEW", timedelta(seconds=0.4))
    start(app, store)
    store.send("slow")
    until(lambda: app.count() == 1 and store.bodies(store.queue) == [])

    assert len(seen(app)) == 1


def test_the_bodys_keys_hide_the_metadata(app: App, store: Store) -> None:
    """A JSON object's keys are written over the message's own metadata, in any case."""
    start(app, store)
    store.send('{"ID":"mine","dequeueCount":7,"other":[1]}')
    until(lambda: app.count() == 1)

    ((_, message_id, count, *_),) = seen(app)
    assert (message_id, count) == ("mine", 7)


def test_many_messages_are_all_run(app: App, store: Store) -> None:
    """Batches come one after the other until the queue is empty, each message once."""
    for number in range(40):
        store.send(str(number))
    start(app, store)
    until(lambda: app.count() == 40 and store.bodies(store.queue) == [])

    assert sorted(int(body) for body, *_ in seen(app)) == list(range(40))


def test_text_that_is_not_base64_is_poisoned_unrun(app: App, azurite: Azurite) -> None:
    """What cannot be decoded goes to the poison queue as it is."""
    queue = f"q{uuid.uuid4().hex}"
    with QueueServiceClient.from_connection_string(azurite.connection_string) as service:
        client, poison = (service.get_queue_client(name) for name in (queue, f"{queue}-poison"))
        client.create_queue()
        client.send_message("{not base64}")
        app.start(CODE.replace("{queue}", queue), {"Store": azurite.connection_string})

        def poisoned() -> bool:
            try:
                return [m.content for m in poison.peek_messages()] == ["{not base64}"]
            except ResourceNotFoundError:
                return False

        until(poisoned)
    assert seen(app) == []


def test_a_poison_queue_has_no_poison_queue(app: App, tmp_path: Path) -> None:
    """A message of a poison queue that fails stays where it is, hidden."""
    path = tmp_path / "queues.db"
    queue = "x-poison"
    app.host_json["extensions"] = {"queues": {"maxDequeueCount": 1}}
    SqliteQueues(path).send(queue, "bad")
    app.start(CODE.replace("{queue}", queue), {"Store": f"sqlite:{path}"})
    until(lambda: app.count() == 1)
    assert app.host is not None
    app.host.stop()

    assert not SqliteQueues(path).exists("x-poison-poison")
    assert SqliteQueues(path).receive(queue, 1, timedelta()) == []


def test_a_message_received_too_often_is_poisoned_unrun(app: App, tmp_path: Path) -> None:
    """A message whose runs all died with their process is not run again."""
    path = tmp_path / "queues.db"
    queue = SqliteQueues(path)
    queue.send("q", "deadly")
    for _ in range(5):
        assert queue.receive("q", 1, timedelta(0))
    app.start(CODE.replace("{queue}", "q"), {"Store": f"sqlite:{path}"})
    until(lambda: queue.exists("q-poison"))

    assert seen(app) == []


def test_connections_of_every_kind() -> None:
    """Development storage, accounts by name and by address are understood; nonsense is refused."""
    service = open_service("UseDevelopmentStorage=true", {})
    assert "10001" in DEVELOPMENT_STORAGE
    service.close()
    for parts in ({"accountName": "a"}, {"queueServiceUri": "https://a.queue.core.windows.net"}):
        open_service("", parts).close()
    with pytest.raises(HostError) as raised:
        open_service("AccountKey=secret", {})
    assert "secret" not in str(raised.value)
