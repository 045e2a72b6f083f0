"""The Event Grid webhook; functions-host rules of EventGridExtensionConfigProvider."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.runtime.conftest import App

CODE = """
    import json, threading

    seen = []
    together = threading.Barrier(3)

    @app.event_grid_trigger(arg_name="event")
    def hook(event: func.EventGridEvent):
        seen.append((type(event).__name__, event.subject))
        if event.subject == "bad":
            raise ValueError("boom")
        if event.subject == "together":
            together.wait(10)

    @app.event_grid_trigger(arg_name="event")
    def off(event: func.EventGridEvent):
        pass

    @app.route(route="hello", auth_level=func.AuthLevel.ANONYMOUS)
    def hello(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(json.dumps(seen))
"""
EVENT = {"id": "1", "subject": "good", "topic": "/t", "eventType": "x", "data": {}}
CLOUD_EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "x", "subject": "good"}


@pytest.fixture(name="hook")
def _hook(app: App) -> App:
    app.start(CODE, {"AzureWebJobs.off.Disabled": "true"})
    return app


def seen(app: App) -> list[list[str]]:
    """Return what the function was given."""
    got: list[list[str]] = app.post("", None, path="/api/hello", method="GET").json()
    return got


def test_each_event_is_one_run(hook: App) -> None:
    """An array runs once per element, a lone object once; both schemas keep their type."""
    assert hook.post("hook", [EVENT, EVENT]).status_code == 202
    assert hook.post("hook", CLOUD_EVENT).status_code == 202
    assert hook.post("hook", []).status_code == 202

    assert sorted(seen(hook)) == [
        ["CloudEvent", "good"],
        ["EventGridEvent", "good"],
        ["EventGridEvent", "good"],
    ]


def test_the_events_of_a_request_run_at_once(hook: App) -> None:
    """The runs of a batch do not wait for each other."""
    assert hook.post("hook", [{**EVENT, "subject": "together"}] * 3).status_code == 202


def test_one_failure_sends_the_whole_request_again(hook: App) -> None:
    """A failed run is 500 with its message; the others have run all the same."""
    answer = hook.post("hook", [EVENT, {**EVENT, "subject": "bad"}])

    assert answer.status_code == 500
    assert "boom" in answer.text
    assert len(seen(hook)) == 2


@pytest.mark.parametrize("data", [{"validationCode": "abc"}, '{"validationCode": "abc"}'])
def test_the_handshake_is_answered(hook: App, data: object) -> None:
    """The validation code comes back, from an array or a lone object, in any case of the header."""
    headers = {"AEG-Event-Type": "subscriptionVALIDATION"}
    for body in ([{"data": data}], {"data": data}):
        answer = hook.post("hook", body, headers=headers)
        assert answer.status_code == 200
        assert json.loads(answer.text) == {"validationResponse": "abc"}
    assert hook.post("hook", [{"data": "x"}], headers=headers).json() == {
        "validationResponse": None
    }
    assert seen(hook) == []


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("eventgrid.azure.net", "eventgrid.azure.net"),
        ("westeurope.eventgrid.azure.us", "westeurope.eventgrid.azure.us"),
        ("evil.example.com", "eventgrid.azure.net"),
    ],
)
def test_cloud_events_ask_by_options(hook: App, origin: str, allowed: str) -> None:
    """OPTIONS allows Event Grid's origins and no others."""
    answer = hook.post("hook", None, method="OPTIONS", headers={"WebHook-Request-Origin": origin})

    assert (answer.status_code, answer.headers["webhook-allowed-origin"]) == (200, allowed)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"headers": {"aeg-event-type": "Unsubscribe"}}, 202),
        ({"headers": {"aeg-event-type": "Other"}}, 400),
        ({"headers": {}}, 400),
        ({"path": "/runtime/webhooks/EVENTGRID"}, 202),
        ({"path": "/runtime/webhooks/other"}, 404),
    ],
)
def test_kinds_of_requests(hook: App, changes: dict[str, Any], status: int) -> None:
    """The header says what is wanted; the extension's name has no case."""
    assert hook.post("hook", [EVENT], **changes).status_code == status


@pytest.mark.parametrize("name", ["HOOK", "none", "", "off", "hello"])
def test_other_functions_are_not_found(hook: App, name: str) -> None:
    """Names have case; disabled functions and other triggers are not found either."""
    answer = hook.post(name, [EVENT])

    assert (answer.status_code, answer.text) == (404, f"cannot find function: '{name}'")


def test_bodies_that_are_no_events(hook: App) -> None:
    """Bad JSON and scalars are 500 without a run."""
    assert hook.post("hook", None, content=b"{").status_code == 500
    assert hook.post("hook", 7).status_code == 500
    assert seen(hook) == []


def test_keys_are_asked_for(hook: App) -> None:
    """None or an unknown key is 401, another's is 403; the header comes before the query."""
    host = hook.host
    assert host is not None

    def status(code: str | None, header: str | None = None) -> int:
        params = {"functionName": "hook", **({"code": code} if code else {})}
        headers = {"aeg-event-type": "Notification"}
        headers |= {"x-functions-key": header} if header else {}
        return hook.post("hook", [EVENT], params=params, headers=headers).status_code

    assert status(host.eventgrid_key) == 202
    assert status(host.master_key) == 202
    assert status(None, host.eventgrid_key) == 202
    assert status(host.eventgrid_key, "wrong") == 401
    assert status(None) == 401
    assert status("wrong") == 401
    assert status(host.function_key) == 403


def test_a_host_that_is_starting_makes_requests_wait(hook: App) -> None:
    """A request during the start is answered after it; in Error it is refused at once."""
    host = hook.host
    assert host is not None
    host.state = "Default"
    timer = threading.Timer(0.3, lambda: setattr(host, "state", "Running"))
    timer.start()
    assert hook.post("hook", [EVENT]).status_code == 202
    timer.join()
    host.state = "Error"
    assert hook.post("hook", [EVENT]).status_code == 503
    host.state = "Running"
