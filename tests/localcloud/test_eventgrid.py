"""Event Grid's side of a webhook: handshake, headers, batches, retries, dead letters."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.clock import Clock
from localcloud.eventgrid import RETRIES, EventGrid, SubscribeError
from localcloud.network import Loop, Server
from localcloud.state import Json, Registry

REGISTRY = Registry("s", "g", "mybase", "westeurope", "mybase.azurecr.io")
PUSHED = "Microsoft.ContainerRegistry.ImagePushed"


class Endpoint:
    """A webhook that remembers what it was sent and answers as it is told."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], Any]] = []
        self.statuses: list[int] = []
        self.validates = True
        self._lock = threading.Lock()
        self._loop = Loop("endpoint")
        routes = [Route("/", self._answer, methods=["POST", "OPTIONS"])]
        self._loop.start()
        self._server = Server(self._loop, Starlette(routes=routes))
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.port}/"

    async def _answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            origin = request.headers["webhook-request-origin"] if self.validates else ""
            return Response(status_code=200, headers={"WebHook-Allowed-Origin": origin})
        body = await request.json()
        if request.headers["aeg-event-type"] == "SubscriptionValidation":
            code = body[0]["data"]["validationCode"] if self.validates else "wrong"
            return JSONResponse({"validationResponse": code})
        with self._lock:
            self.received.append((dict(request.headers), body))
            return Response(status_code=self.statuses.pop(0) if self.statuses else 200)

    def stop(self) -> None:
        """Close the port."""
        self._loop.run(self._server.stop())
        self._loop.stop()

    def bodies(self) -> list[Any]:
        """Return what was received."""
        with self._lock:
            return [body for _, body in self.received]


@pytest.fixture(name="endpoint")
def _endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.stop()


@pytest.fixture(name="grid")
def _grid() -> Iterator[EventGrid]:
    # An hour of retries takes less than a second here.
    grid = EventGrid(Clock(speed=5_000))
    grid.start()
    yield grid
    grid.stop()


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def publish(grid: EventGrid, subject: str = "images/node:9", kind: str = PUSHED) -> None:
    """Publish an event of the registry."""
    grid.publish(REGISTRY, kind, subject, {"id": "event-1", "target": {"tag": "9"}})


def test_events_have_event_grids_schema(grid: EventGrid, endpoint: Endpoint) -> None:
    """One event per request, in an array, with the envelope and headers of Event Grid."""
    grid.subscribe(REGISTRY, "rebuilder", endpoint.url)
    publish(grid)
    assert grid.wait_idle(10)

    ((headers, body),) = endpoint.received
    assert [event["subject"] for event in body] == ["images/node:9"]
    assert set(body[0]) == {
        "id",
        "topic",
        "subject",
        "data",
        "eventType",
        "eventTime",
        "dataVersion",
        "metadataVersion",
    }
    assert body[0]["topic"] == REGISTRY.id
    assert body[0]["id"] == body[0]["data"]["id"] == "event-1"
    assert headers["aeg-event-type"] == "Notification"
    assert headers["aeg-subscription-name"] == "REBUILDER"
    assert headers["aeg-delivery-count"] == "0"
    assert headers["content-type"].startswith("application/json")


def test_cloud_events_come_alone(grid: EventGrid, endpoint: Endpoint) -> None:
    """CloudEvents 1.0: a single object, with its own media type."""
    grid.subscribe(REGISTRY, "rebuilder", endpoint.url, schema="CloudEventSchemaV1_0")
    publish(grid)
    assert grid.wait_idle(10)

    ((headers, body),) = endpoint.received
    assert (body["specversion"], body["source"], body["type"]) == ("1.0", REGISTRY.id, PUSHED)
    assert headers["content-type"].startswith("application/cloudevents+json")


@pytest.mark.parametrize("schema", ["EventGridSchema", "CloudEventSchemaV1_0"])
def test_events_can_be_batched(grid: EventGrid, endpoint: Endpoint, schema: Any) -> None:  # noqa: ANN401
    """No request holds more events than the subscription allows."""
    made = grid.subscribe(
        REGISTRY, "rebuilder", endpoint.url, schema=schema, max_events_per_batch=4
    )
    events: list[Json] = [{"id": str(n)} for n in range(10)]
    grid.deliver(made, events)
    assert grid.wait_idle(10)

    assert sorted(len(body) for body in endpoint.bodies()) == [2, 4, 4]
    delivered = sorted(event["id"] for body in endpoint.bodies() for event in body)
    assert delivered == [str(n) for n in range(10)]


def test_only_what_was_asked_for_is_delivered(grid: EventGrid, endpoint: Endpoint) -> None:
    """Other types and other registries' events do not reach the subscription."""
    grid.subscribe(REGISTRY, "rebuilder", endpoint.url, event_types=[PUSHED])
    other = Registry("s", "g", "other", "westeurope", "other.azurecr.io")
    grid.publish(other, PUSHED, "x:1", {})
    publish(grid, "deleted", "Microsoft.ContainerRegistry.ImageDeleted")
    publish(grid, "wanted:1")
    assert grid.wait_idle(10)

    assert [event["subject"] for body in endpoint.bodies() for event in body] == ["wanted:1"]


@pytest.mark.parametrize("schema", ["EventGridSchema", "CloudEventSchemaV1_0"])
def test_an_endpoint_that_does_not_want_events_gets_none(
    grid: EventGrid,
    endpoint: Endpoint,
    schema: Any,  # noqa: ANN401
) -> None:
    """Without the handshake there is no subscription."""
    endpoint.validates = False
    with pytest.raises(SubscribeError, match="rebuilder"):
        grid.subscribe(REGISTRY, "rebuilder", endpoint.url, schema=schema)
    with pytest.raises(SubscribeError, match="ConnectError"):
        grid.subscribe(REGISTRY, "rebuilder", "http://127.0.0.1:1/", schema=schema)


def test_failed_deliveries_are_retried(grid: EventGrid, endpoint: Endpoint) -> None:
    """An error is answered by another attempt, counted in a header."""
    endpoint.statuses = [500, 503, 404]
    grid.subscribe(REGISTRY, "rebuilder", endpoint.url)
    publish(grid)
    until(lambda: len(endpoint.bodies()) == 4)

    counts = [headers["aeg-delivery-count"] for headers, _ in endpoint.received]
    assert counts == ["0", "1", "2", "3"]
    assert RETRIES[:3] == (10, 30, 60)


@pytest.mark.parametrize(
    ("statuses", "options", "reason", "attempts"),
    [
        ([400], {}, "UndeliverableDueToHttpStatus", 1),
        ([401], {}, "UndeliverableDueToHttpStatus", 1),
        ([403], {}, "UndeliverableDueToHttpStatus", 1),
        ([500, 413], {}, "UndeliverableDueToHttpStatus", 2),
        ([500] * 3, {"max_attempts": 3}, "MaxDeliveryAttemptsExceeded", 3),
        ([500] * 9, {"time_to_live": timedelta(seconds=4600)}, "TimeToLiveExceeded", 7),
    ],
)
def test_given_up_events_become_dead_letters(
    grid: EventGrid,
    endpoint: Endpoint,
    tmp_path: Path,
    statuses: list[int],
    options: dict[str, Any],
    reason: str,
    attempts: int,
) -> None:
    """What cannot be delivered is kept with Event Grid's own account of it."""
    endpoint.statuses = list(statuses)
    grid.subscribe(REGISTRY, "rebuilder", endpoint.url, dead_letters=tmp_path, **options)
    publish(grid)
    until(lambda: bool(list(tmp_path.glob("*.json"))))
    (path,) = tmp_path.glob("*.json")
    until(lambda: bool(path.read_text()))
    (letter,) = json.loads(path.read_text())

    assert letter["id"] == "event-1"
    assert letter["deadLetterReason"] == reason
    assert letter["deliveryAttempts"] == attempts == len(endpoint.bodies())
    assert letter["lastDeliveryOutcome"] == f"HTTP {statuses[attempts - 1]}"


def test_an_endpoint_that_is_gone_is_tried_again(grid: EventGrid, tmp_path: Path) -> None:
    """No answer is a failed attempt like another; without a dead letter folder it is dropped."""
    endpoint = Endpoint()
    grid.subscribe(
        REGISTRY, "rebuilder", endpoint.url, dead_letters=tmp_path / "new", max_attempts=2
    )
    grid.subscribe(REGISTRY, "dropped", endpoint.url, max_attempts=1)
    endpoint.stop()
    publish(grid)
    assert grid.wait_idle(10)
    until(lambda: bool(list(tmp_path.glob("new/*.json"))))
