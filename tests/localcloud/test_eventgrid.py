"""Event Grid's handshake, deliveries, retries and dead letters, against a webhook that records."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from localcloud.eventgrid import RETRIES, EventGrid, Schema, SubscribeError, Subscription
from localcloud.state import Json, Registry
from tests.clocks import LeapingClock, StoppedClock
from tests.patience import SECONDS, until
from tests.webhook import Webhook

PUSHED = "Microsoft.ContainerRegistry.ImagePushed"
DELETED = "Microsoft.ContainerRegistry.ImageDeleted"
DATA = {"id": "event-1", "action": "push", "target": {"repository": "app", "tag": "1"}}


@pytest.fixture(name="registry")
def _registry() -> Registry:
    return Registry("s", "Group", "MyBase", "westeurope", "mybase.azurecr.io")


@pytest.fixture(name="leaping")
def _leaping() -> LeapingClock:
    return LeapingClock()


@pytest.fixture(name="grid")
def _grid(leaping: LeapingClock) -> Iterator[EventGrid]:
    """Event Grid, in which only waiting takes time, and that at once."""
    grid = EventGrid(leaping)
    grid.start()
    yield grid
    grid.stop()


def published(grid: EventGrid, registry: Registry, *numbers: str) -> None:
    """Publish events of these ids, and wait until they were tried."""
    for number in numbers:
        grid.publish(registry, PUSHED, "app:1", {**DATA, "id": number})
    assert grid.wait_idle(SECONDS)


def test_the_handshake_of_event_grids_own_schema(
    grid: EventGrid, registry: Registry, webhook: Webhook
) -> None:
    """An array of one validation event, whose code must come back."""
    grid.subscribe(registry, "builds", webhook.url)
    (call,) = webhook.handshakes
    (event,) = call.body
    assert event["eventType"] == "Microsoft.EventGrid.SubscriptionValidationEvent"
    assert event["topic"] == registry.id.lower()
    assert call.headers["aeg-subscription-name"] == "BUILDS"
    webhook.validate = False
    with pytest.raises(SubscribeError, match="200"):
        grid.subscribe(registry, "builds", webhook.url)


def test_the_handshake_of_cloud_events(
    grid: EventGrid, registry: Registry, webhook: Webhook
) -> None:
    """OPTIONS with the origin, which must be allowed."""
    grid.subscribe(registry, "a", webhook.url, schema="CloudEventSchemaV1_0")
    assert webhook.handshakes[0].headers["webhook-request-origin"] == "eventgrid.azure.net"
    for allow in (None, "other.example"):
        webhook.allow = allow
        with pytest.raises(SubscribeError):
            grid.subscribe(registry, "a", webhook.url, schema="CloudEventSchemaV1_0")


def test_an_endpoint_that_is_not_there_is_not_subscribed(
    grid: EventGrid, registry: Registry
) -> None:
    """The error names the subscription, and does not tell the endpoint's key."""
    with pytest.raises(SubscribeError, match="builds: ConnectError") as caught:
        grid.subscribe(registry, "builds", "http://127.0.0.1:1/hook?code=s3cret")
    assert "s3cret" not in str(caught.value)


def test_an_endpoint_that_is_silent_is_not_subscribed(registry: Registry) -> None:
    """The handshake has the time of an answer."""
    grid = EventGrid(StoppedClock(), answer_seconds=0.2)
    grid.start()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(SubscribeError, match="builds: the endpoint does not answer"):
            grid.subscribe(registry, "builds", address)
    assert grid.subscriptions(registry) == []
    grid.stop()


def test_an_event_in_event_grids_own_schema(
    grid: EventGrid, registry: Registry, webhook: Webhook
) -> None:
    """An array of one, the envelope of the samples, the documented headers."""
    grid.subscribe(registry, "builds", webhook.url)
    published(grid, registry, "event-1")
    (call,) = webhook.calls
    (event,) = call.body
    assert event.pop("eventTime").endswith("Z")
    assert event == {
        "id": "event-1",
        "topic": registry.id,
        "subject": "app:1",
        "eventType": PUSHED,
        "dataVersion": "2.0",
        "metadataVersion": "1",
        "data": DATA,
    }
    aeg = {name: value for name, value in call.headers.items() if name.startswith("aeg-")}
    assert aeg == {
        "aeg-event-type": "Notification",
        "aeg-subscription-name": "BUILDS",
        "aeg-delivery-count": "0",
        "aeg-data-version": "2.0",
        "aeg-metadata-version": "1",
        "aeg-output-event-id": "event-1",
    }
    assert call.headers["content-type"] == "application/json; charset=utf-8"


def test_an_event_as_cloud_event(grid: EventGrid, registry: Registry, webhook: Webhook) -> None:
    """One object, the envelope of the samples, its media type, no data version."""
    grid.subscribe(registry, "builds", webhook.url, schema="CloudEventSchemaV1_0")
    published(grid, registry, "event-1")
    (call,) = webhook.calls
    assert call.body.pop("time").endswith("Z")
    assert call.body == {
        "specversion": "1.0",
        "id": "event-1",
        "source": registry.id,
        "subject": "app:1",
        "type": PUSHED,
        "data": DATA,
    }
    assert call.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert call.headers["aeg-metadata-version"] == "1.0"
    assert "aeg-data-version" not in call.headers


@pytest.mark.parametrize(
    ("schema", "media_type"),
    [
        ("EventGridSchema", "application/json"),
        ("CloudEventSchemaV1_0", "application/cloudevents-batch+json"),
    ],
)
def test_batches(
    grid: EventGrid, registry: Registry, webhook: Webhook, schema: Schema, media_type: str
) -> None:
    """No request holds more events than the subscription allows."""
    subscription = grid.subscribe(
        registry, "builds", webhook.url, schema=schema, max_events_per_batch=3
    )
    grid.deliver(subscription, [{"id": str(n)} for n in range(7)])
    assert grid.wait_idle(SECONDS)
    assert sorted(len(call.body) for call in webhook.calls) == [1, 3, 3]
    ids = sorted(event["id"] for call in webhook.calls for event in call.body)
    assert ids == [str(n) for n in range(7)]
    assert {call.headers["content-type"] for call in webhook.calls} == {
        f"{media_type}; charset=utf-8"
    }


def test_filters(grid: EventGrid, registry: Registry, webhook: Webhook) -> None:
    """Registry, event type, and how a subject begins and ends, in any case."""
    other = Registry("s", "Group", "Other", "westeurope", "other.azurecr.io")
    grid.subscribe(
        registry,
        "builds",
        webhook.url,
        event_types=[PUSHED],
        subject_begins_with="Team/",
        subject_ends_with=":Latest",
    )
    for number, (source, kind, subject) in enumerate(
        [
            (registry, PUSHED, "team/app:latest"),
            (other, PUSHED, "team/app:latest"),
            (registry, DELETED, "team/app:latest"),
            (registry, PUSHED, "app:latest"),
            (registry, PUSHED, "team/app:1"),
        ]
    ):
        grid.publish(source, kind, subject, {"id": str(number)})
    assert grid.wait_idle(SECONDS)
    assert [call.body[0]["id"] for call in webhook.calls] == ["0"]


def test_a_subscription_of_the_same_name_is_replaced(
    grid: EventGrid, registry: Registry, webhook: Webhook
) -> None:
    """Of two others, each has the event."""
    for name in ("a", "b", "A"):
        grid.subscribe(registry, name, webhook.url)
    published(grid, registry, "1")
    assert sorted(call.headers["aeg-subscription-name"] for call in webhook.calls) == ["A", "B"]


def test_failures_are_tried_again(
    grid: EventGrid, leaping: LeapingClock, registry: Registry, webhook: Webhook
) -> None:
    """By the schedule, on the cloud's clock, counted in a header; 205 is no success."""
    webhook.statuses = [500, 503, 404, 205]
    grid.subscribe(registry, "builds", webhook.url)
    published(grid, registry, "1")
    calls = webhook.wait(5)
    assert [call.headers["aeg-delivery-count"] for call in calls] == ["0", "1", "2", "3", "4"]
    assert tuple(leaping.waits) == RETRIES[:4] == (10, 30, 60, 300)


def letters(folder: Path) -> list[Json]:
    """Return the dead letters, once there are any."""
    until(lambda: folder.exists() and list(folder.glob("*.json")))
    found: list[Json] = []
    for path in folder.glob("*.json"):
        found += json.loads(path.read_text())
    return found


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequest"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (413, "RequestEntityTooLarge"),
    ],
)
def test_some_answers_are_final(
    grid: EventGrid, registry: Registry, webhook: Webhook, tmp_path: Path, status: int, name: str
) -> None:
    """The event is a dead letter after one attempt, whole, with what became of it."""
    webhook.statuses = [status]
    grid.subscribe(registry, "builds", webhook.url, dead_letters=tmp_path / "dead")
    published(grid, registry, "event-1")
    (letter,) = letters(tmp_path / "dead")
    assert len(webhook.calls) == 1
    assert letter["id"] == "event-1"
    assert letter["data"] == DATA
    assert letter["deadLetterReason"] == f"UndeliverableDueToHttp{name}"
    assert letter["deliveryAttempts"] == 1
    assert letter["lastDeliveryOutcome"] == name
    assert letter["publishTime"] <= letter["lastDeliveryAttemptTime"]


def test_attempts_run_out(
    grid: EventGrid, registry: Registry, webhook: Webhook, tmp_path: Path
) -> None:
    """A CloudEvent's dead letter has the added fields in lower case."""
    webhook.statuses = [404] * 9
    grid.subscribe(
        registry,
        "builds",
        webhook.url,
        schema="CloudEventSchemaV1_0",
        max_attempts=3,
        dead_letters=tmp_path / "dead",
    )
    published(grid, registry, "1")
    (letter,) = letters(tmp_path / "dead")
    assert letter["deadletterreason"] == "MaxDeliveryAttemptsExceeded"
    assert (letter["deliveryattempts"], letter["lastdeliveryoutcome"]) == (3, "NotFound")


def test_time_runs_out(
    grid: EventGrid, registry: Registry, webhook: Webhook, tmp_path: Path
) -> None:
    """No attempt is made after the time to live."""
    webhook.statuses = [500] * 99
    grid.subscribe(
        registry,
        "builds",
        webhook.url,
        time_to_live=timedelta(seconds=5),
        dead_letters=tmp_path / "dead",
    )
    published(grid, registry, "1")
    (letter,) = letters(tmp_path / "dead")
    assert letter["deadLetterReason"] == "TimeToLiveExceeded"
    assert letter["lastDeliveryOutcome"] == "InternalServerError"


def test_without_a_place_for_dead_letters_events_are_dropped(
    grid: EventGrid,
    registry: Registry,
    webhook: Webhook,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log says so; nothing is written."""
    webhook.statuses = [400]
    grid.subscribe(registry, "builds", webhook.url)
    published(grid, registry, "1")
    assert "UndeliverableDueToHttpBadRequest after 1 attempts" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_an_endpoint_that_does_not_answer(
    registry: Registry, webhook: Webhook, tmp_path: Path
) -> None:
    """After the time for an answer, or without a connection, it counts as failed."""
    webhook.slow = True
    addresses = {"TimedOut": (webhook.url, 0.2), "SocketError": ("http://127.0.0.1:1/", SECONDS)}
    for outcome, (address, seconds) in addresses.items():
        dead = tmp_path / outcome
        grid = EventGrid(StoppedClock(), answer_seconds=seconds)
        grid.start()
        one = Subscription(registry.id, "one", address, max_attempts=1, dead_letters=dead)
        grid.deliver(one, [{"id": "1"}])
        assert grid.wait_idle(SECONDS)
        grid.stop()
        assert [letter["lastDeliveryOutcome"] for letter in letters(dead)] == [outcome]


def test_wait_idle_sees_what_is_on_its_way(
    grid: EventGrid, registry: Registry, webhook: Webhook
) -> None:
    """Not idle before the answer; an event that waits for its next attempt is not waited for."""
    webhook.slow = True
    grid.subscribe(registry, "builds", webhook.url)
    grid.publish(registry, PUSHED, "app:1", DATA)
    webhook.wait(1)
    assert not grid.wait_idle(0.05)
    webhook.gate.set()
    assert grid.wait_idle(SECONDS)


def test_events_from_many_threads_all_arrive(
    grid: EventGrid, registry: Registry, webhook: Webhook
) -> None:
    """Publishing is safe from any thread, and idle is not told too early."""
    grid.subscribe(registry, "builds", webhook.url)

    def publish(first: int) -> None:
        for number in range(10):
            grid.publish(registry, PUSHED, "app:1", {"id": f"{first}-{number}"})

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert grid.wait_idle(SECONDS)
    assert len({call.body[0]["id"] for call in webhook.calls}) == 50


def test_events_may_come_twice_get_lost_or_change_order(
    grid: EventGrid, registry: Registry, webhook: Webhook
) -> None:
    """As Event Grid warns; a test says when."""
    grid.subscribe(registry, "builds", webhook.url)

    def ids() -> list[str]:
        found = [call.body[0]["id"] for call in webhook.calls]
        webhook.calls.clear()
        return found

    grid.distort(copies=3)
    published(grid, registry, "1")
    assert ids() == ["1", "1", "1"]
    grid.distort(lose=1)
    published(grid, registry, "1", "2")
    assert ids() == ["2"]
    grid.distort(reverse=3)
    published(grid, registry, "1", "2", "3")
    assert ids() == ["3", "2", "1"]
    published(grid, registry, "4")
    assert ids() == []
    grid.distort()
    published(grid, registry)
    assert ids() == ["4"]
    published(grid, registry, "5")
    assert ids() == ["5"]


@pytest.mark.parametrize("copies", [1, 2])
def test_events_may_come_in_any_order(
    grid: EventGrid, registry: Registry, webhook: Webhook, copies: int
) -> None:
    """The seed decides which order it is; every event comes."""
    grid.subscribe(registry, "builds", webhook.url)
    numbers = [str(number) for number in range(8)]
    orders = []
    for seed in (1, 1, 2):
        grid.distort(shuffle=8 * copies, seed=seed, copies=copies)
        published(grid, registry, *numbers)
        orders.append([call.body[0]["id"] for call in webhook.calls])
        webhook.calls.clear()
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])
    assert sorted(orders[0]) == sorted(orders[2]) == sorted(numbers * copies)


@pytest.mark.parametrize("reverse", [1, 2])
def test_events_may_be_late(
    registry: Registry, webhook: Webhook, clock: StoppedClock, reverse: int
) -> None:
    """They come when their time has passed, held back before or not, and count as under way."""
    grid = EventGrid(clock)
    grid.start()
    grid.subscribe(registry, "builds", webhook.url)
    grid.distort(late=600, reverse=reverse)
    grid.publish(registry, PUSHED, "app:1", {**DATA, "id": "1"})
    grid.publish(registry, PUSHED, "app:1", {**DATA, "id": "2"})
    until(lambda: clock.waiting == (1 if reverse > 1 else 2))
    assert not grid.wait_idle(0.1)
    grid.distort()
    grid.publish(registry, PUSHED, "app:1", {**DATA, "id": "3"})
    assert [call.body[0]["id"] for call in webhook.wait(1)] == ["3"]
    clock.forward(600)
    assert grid.wait_idle(SECONDS)
    ids = [call.body[0]["id"] for call in webhook.calls]
    assert sorted(ids) == ["1", "2", "3"]
    if reverse > 1:
        assert ids == ["3", "2", "1"]
    grid.stop()


def test_late_events_are_given_up_on_stop(
    registry: Registry, webhook: Webhook, clock: StoppedClock
) -> None:
    """What waits for its time when Event Grid stops never comes."""
    grid = EventGrid(clock)
    grid.start()
    grid.subscribe(registry, "builds", webhook.url)
    grid.distort(late=600)
    published_at_once = {**DATA, "id": "1"}
    grid.publish(registry, PUSHED, "app:1", published_at_once)
    grid.stop()
    grid.publish(registry, PUSHED, "app:1", published_at_once)
    assert grid.wait_idle(0)
    assert webhook.calls == []


def test_a_field_that_does_not_exist_is_not_distorted(grid: EventGrid) -> None:
    """A misspelt fault is an error, not a good day."""
    with pytest.raises(AttributeError):
        grid.distort(copy=2)


def test_garbage_is_delivered_as_it_is(
    grid: EventGrid, registry: Registry, webhook: Webhook
) -> None:
    """Whatever a test invents reaches the endpoint, even where a header cannot say it."""
    subscription = grid.subscribe(registry, "builds", webhook.url)
    garbage: list[Json] = [{}, {"id": "ü\r\n", "dataVersion": []}, {"id": 7, "data": None}]
    grid.deliver(subscription, garbage)
    assert grid.wait_idle(SECONDS)
    bodies = [call.body[0] for call in webhook.calls]
    assert sorted(map(str, bodies)) == sorted(map(str, garbage))


def test_stop_ends_what_waits(registry: Registry, webhook: Webhook) -> None:
    """Retries to come and requests under way are given up; no thread stays."""
    before = set(threading.enumerate())
    grid = EventGrid(StoppedClock())
    grid.start()
    webhook.statuses = [500]
    grid.subscribe(registry, "builds", webhook.url)
    published(grid, registry, "1")
    webhook.slow = True
    grid.publish(registry, PUSHED, "app:1", DATA)
    webhook.wait(2)
    grid.stop()
    grid.stop()
    assert grid.wait_idle(0)
    assert {t for t in threading.enumerate() if t.name == "localcloud-eventgrid"} <= before
    grid.publish(registry, PUSHED, "app:1", DATA)
    assert grid.wait_idle(0)


def test_an_endpoints_key_is_not_logged(
    grid: EventGrid, registry: Registry, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither by Event Grid nor by its HTTP client, nor in the subscription's own text."""
    caplog.set_level(logging.INFO)
    webhook.statuses = [500, 400]
    subscription = grid.subscribe(registry, "builds", webhook.url)
    published(grid, registry, "1")
    webhook.wait(2)
    # Server silences uvicorn's access log, but pytest listens to silenced loggers, too.
    told = [r.getMessage() for r in caplog.records if r.name != "uvicorn.access"]
    assert any("again in" in text for text in told)
    assert "s3cret" not in "".join(told)
    assert "s3cret" not in repr(subscription)
