"""The webhook of Event Grid functions, as Microsoft's extension answers it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from localcloud.clock import Clock
from localcloud.eventgrid import EventGrid, SubscribeError
from localcloud.functionshost import FunctionsHost
from localcloud.state import Registry
from tests import patience
from tests.runtime.apps import probe, running

APP = """
@app.event_grid_trigger(arg_name="event")
def seen(event: func.EventGridEvent) -> None:
    probe.say((type(event).__name__, event.id, event.get_json()))
    if event.get_json().get("fail"):
        raise ValueError(f"event {event.id} cannot be used")

@app.event_grid_trigger(arg_name="text")
def raw(text: str) -> None:
    probe.say(text)

@app.event_grid_trigger(arg_name="events", cardinality="many")
def many(events: str) -> None:
    probe.say(events)

@app.queue_trigger(arg_name="m", queue_name="q", connection="S")
def queued(m: func.QueueMessage) -> None: ...
"""
EVENT = {
    "id": "1",
    "topic": "/t",
    "subject": "s",
    "eventType": "Pushed",
    "eventTime": "2026-01-02T03:04:05.1234567Z",
    "dataVersion": "2.0",
    "metadataVersion": "1",
    "data": {"a": 1},
}
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "2",
    "source": "/t",
    "type": "Pushed",
    "subject": "s",
    "data": {"b": 2},
}


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Iterator[FunctionsHost]:
    with running(tmp_path, APP, {"S": f"sqlite:{tmp_path / 'q.db'}"}) as host:
        yield host


def call(
    host: FunctionsHost,
    content: object = (),
    kind: str | None = "Notification",
    *,
    function: str = "seen",
    extension: str = "eventgrid",
    method: str = "POST",
    **headers: str,
) -> httpx.Response:
    """Call the webhook with the system key."""
    given = {"x-functions-key": host.eventgrid_key, **({"aeg-event-type": kind} if kind else {})}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    url = f"{host.url}/runtime/webhooks/{extension}"
    params = {"functionName": function}
    return patience.request(method, url, params=params, content=body, headers=given)


def test_keys(host: FunctionsHost) -> None:
    """The system or the master key opens; none or a wrong one is 401, another's is 403."""
    url = f"{host.url}/runtime/webhooks/eventgrid?functionName=seen"
    event = {"aeg-event-type": "Notification"}

    def answer(code: str = "", **headers: str) -> int:
        given = {**event, **{n.replace("_", "-"): v for n, v in headers.items()}}
        address = f"{url}&code={code}" if code else url
        for method in ("OPTIONS", "POST"):
            status = patience.request(method, address, headers=given, content=b"[]").status_code
        return status

    assert answer() == 401
    assert answer("wrong") == 401
    assert answer(host.function_key) == 403
    assert answer(host.eventgrid_key) == 202
    assert answer(host.master_key) == 202
    assert answer(x_functions_key=host.eventgrid_key) == 202
    assert answer(host.eventgrid_key, x_functions_key="wrong") == 401
    assert answer("wrong", x_functions_key=host.eventgrid_key) == 202
    assert (
        patience.post(host.eventgrid_url("seen"), headers=event, content=b"[]").status_code == 202
    )
    host.require_keys = False  # as under `func start`
    assert answer() == 202


def test_what_is_not_found(host: FunctionsHost) -> None:
    """Function names have a case, extensions have none; only Event Grid functions are found."""
    for function in ("SEEN", "other", "queued", ""):
        answer = call(host, [], function=function)
        assert (answer.status_code, answer.text) == (404, f"cannot find function: '{function}'")
    assert call(host, [], extension="blobs").status_code == 404
    assert call(host, [], extension="EventGrid").status_code == 202


def test_a_body_is_bounded(host: FunctionsHost) -> None:
    """Event Grid sends 1 MB and 5,000 events at most; more is refused before it is all read."""
    fits = [{**EVENT, "data": {"text": "x" * 1_000_000}}]
    assert call(host, fits).status_code == 202
    large = [{**EVENT, "data": {"text": "x" * 1_100_000}}]
    assert call(host, large).status_code == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(1200):
            yield b" " * 1000

    url = f"{host.url}/runtime/webhooks/eventgrid?functionName=seen&code={host.eventgrid_key}"
    event = {"aeg-event-type": "Notification"}
    assert patience.post(url, content=pieces(), headers=event).status_code == 413
    assert call(host, [{}] * 5001).status_code == 413


def test_a_setting_bounds_every_body(tmp_path: Path) -> None:
    """As in Azure; without a key nothing is read at all."""
    code = APP + "\n@app.route(auth_level='anonymous')\ndef web(req: func.HttpRequest) -> str:\n"
    code += "    return str(len(req.get_body()))\n"
    limits = {"S": f"sqlite:{tmp_path / 'q.db'}", "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "1000"}
    with running(tmp_path, code, limits) as host:
        assert call(host, [EVENT]).status_code == 202
        assert call(host, [{**EVENT, "id": "x" * 1000}]).status_code == 413
        web = f"{host.url}/api/web"
        assert patience.post(web, content=b"x" * 1000).text == "1000"
        assert patience.post(web, content=b"x" * 1001).status_code == 413
        admin = f"{host.url}/admin/functions/queued"
        key = {"x-functions-key": host.master_key}
        assert patience.post(admin, content=b"x" * 1001, headers=key).status_code == 413


def test_an_app_without_event_grid_functions_has_no_webhook(tmp_path: Path) -> None:
    """The extension is not loaded, so even the master key finds nothing."""
    code = "@app.route()\ndef web(req: func.HttpRequest) -> str: return ''\n"
    with running(tmp_path, code) as host:
        headers = {"x-functions-key": host.master_key}
        url = f"{host.url}/runtime/webhooks/eventgrid?functionName=web"
        assert patience.post(url, headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        ([EVENT], None, 400),
        ([EVENT], "Other", 400),
        ([EVENT], "NOTIFICATION", 202),
        ([EVENT], "Unsubscribe", 202),
        ([], "Notification", 202),
        (EVENT, "Notification", 202),
        (b"{", "Notification", 500),
        (b"", "Notification", 500),
        (b"7", "Notification", 500),
        (b"[" * 100_000, "Notification", 500),
    ],
)
def test_statuses(host: FunctionsHost, content: object, kind: str | None, status: int) -> None:
    """Header decides; what is no JSON array or object is the host's own 500, without a text."""
    answer = call(host, content, kind)
    assert answer.status_code == status
    assert answer.text == ""


def test_handshake_of_event_grids_own_schema(host: FunctionsHost) -> None:
    """The code comes back, whatever the case of the header; data may be a JSON string."""
    for kind in ("SubscriptionValidation", "subscriptionvalidation"):
        answer = call(host, [{"data": {"validationCode": "abc"}}], kind)
        assert (answer.status_code, answer.json()) == (200, {"validationResponse": "abc"})
    lone = {"data": json.dumps({"validationCode": "abc"})}
    answer = call(host, lone, "SubscriptionValidation")
    assert answer.json() == {"validationResponse": "abc"}


def test_handshake_of_cloud_events(host: FunctionsHost) -> None:
    """OPTIONS echoes an origin of Event Grid's, and names Event Grid to everybody else."""

    def allowed(**headers: str) -> str:
        answer = call(host, b"", None, method="OPTIONS", **headers)
        assert answer.status_code == 200
        return answer.headers["Webhook-Allowed-Origin"]

    assert allowed() == "eventgrid.azure.net"
    assert allowed(webhook_request_origin="eventgrid.azure.us") == "eventgrid.azure.us"
    assert allowed(webhook_request_origin="evil.example") == "eventgrid.azure.net"


def test_both_schemas_pass_as_they_are(host: FunctionsHost) -> None:
    """The worker makes of each what it is, whatever the annotation says."""
    assert call(host, [EVENT]).status_code == 202
    assert call(host, CLOUD_EVENT).status_code == 202
    assert probe.said == [("EventGridEvent", "1", {"a": 1}), ("CloudEvent", "2", {"b": 2})]
    assert call(host, [CLOUD_EVENT], function="raw").status_code == 202
    assert json.loads(probe.said[-1]) == CLOUD_EVENT


def test_cardinality_many_gets_the_array(host: FunctionsHost) -> None:
    """One run with all events."""
    assert call(host, [EVENT, CLOUD_EVENT], function="many").status_code == 202
    assert [json.loads(text) for text in probe.said] == [[EVENT, CLOUD_EVENT]]


def test_one_bad_event_fails_its_whole_batch(host: FunctionsHost) -> None:
    """Every event has its run; the answer is the first failure's, so all are sent again."""
    events = [{**EVENT, "id": str(n), "data": {"fail": n == 3}} for n in range(8)]
    answer = call(host, events)
    assert answer.status_code == 500
    assert "event 3 cannot be used" in answer.text
    assert sorted(number for _, number, _ in probe.said) == [str(n) for n in range(8)]


def test_event_grid_and_host_agree(host: FunctionsHost) -> None:
    """Handshake and delivery in both schemas, in batches too; a wrong key subscribes nothing."""
    grid = EventGrid(Clock())
    grid.start()
    registry = Registry("s", "g", "mybase", "westeurope", "mybase.azurecr.io")
    url = host.eventgrid_url("seen")
    try:
        for schema, size in (
            ("EventGridSchema", 1),
            ("CloudEventSchemaV1_0", 1),
            ("CloudEventSchemaV1_0", 10),
        ):
            options: dict[str, Any] = {"schema": schema, "max_events_per_batch": size}
            subscription = grid.subscribe(registry, "s", url, **options)
            assert subscription.time_to_live == timedelta(hours=24)
            grid.publish(registry, "Pushed", "s", {"id": f"{schema} {size}"})
            assert grid.wait_idle(patience.SECONDS)
        with pytest.raises(SubscribeError, match="401"):
            grid.subscribe(registry, "s", url + "x")
    finally:
        grid.stop()
    assert [number for _, number, _ in probe.said] == [
        "EventGridSchema 1",
        "CloudEventSchemaV1_0 1",
        "CloudEventSchemaV1_0 10",
    ]
