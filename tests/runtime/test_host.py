"""host.json, settings, loading, HTTP triggers, admin endpoints, timers."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from localcloud.functionshost.settings import HostError, connection, parse_time, resolve
from localcloud.functionshost.timers import Schedule
from tests.runtime.conftest import App, until

HTTP = """
    @app.route(route="items/{item}", methods=["GET", "POST"])
    def items(req: func.HttpRequest) -> func.HttpResponse:
        text = f"{req.method} {req.route_params['item']} {req.params.get('q')} {req.get_body()}"
        return func.HttpResponse(text, status_code=201, headers={"X-Made": "here"})

    @app.route(auth_level=func.AuthLevel.ANONYMOUS)
    async def later(req: func.HttpRequest) -> str:
        return "later"

    @app.route(auth_level=func.AuthLevel.ANONYMOUS)
    def broken(req: func.HttpRequest) -> str:
        raise ValueError("boom")

    @app.route(auth_level=func.AuthLevel.ADMIN)
    def admins(req: func.HttpRequest) -> str:
        return "admin"

    @app.route(auth_level=func.AuthLevel.ANONYMOUS)
    def off(req: func.HttpRequest) -> str:
        return "never"
"""


def get(app: App, path: str, key: str = "", method: str = "GET", **more: Any) -> httpx.Response:  # noqa: ANN401
    """Ask the host."""
    assert app.host is not None
    headers = {"x-functions-key": key} if key else {}
    with httpx.Client(trust_env=False) as http:
        return http.request(method, app.host.url + path, headers=headers, **more)


def test_http_triggers_are_routed(app: App) -> None:
    """Route, prefix, methods, keys, sync and async functions, errors."""
    app.host_json["extensions"] = {"http": {"routePrefix": "v1"}}
    host = app.start(HTTP, {"AzureWebJobs_off_Disabled": "1"})
    answer = get(app, "/v1/items/a%20b?q=1", host.function_key, "POST", content=b"body")

    assert (answer.status_code, answer.text) == (201, "POST a b 1 b'body'")
    assert answer.headers["x-made"] == "here"
    assert get(app, "/V1/ITEMS/x", host.function_key).status_code == 201
    assert get(app, "/v1/items/x").status_code == 401
    assert get(app, "/v1/items/x", host.eventgrid_key).status_code == 403
    assert get(app, "/v1/items/x", host.function_key, "PUT").status_code == 404
    assert get(app, "/v1/later").text == "later"
    assert get(app, "/v1/broken").status_code == 500
    assert get(app, "/v1/admins", host.function_key).status_code == 403
    assert get(app, "/v1/admins", host.master_key).text == "admin"
    assert get(app, "/v1/off").status_code == 404
    assert get(app, "/api/later").status_code == 404


def test_without_keys_as_func_start(app: App) -> None:
    """`func start` asks for no keys."""
    app.start(HTTP, require_keys=False)

    assert get(app, "/api/items/x").status_code == 201


def test_admin_endpoints(app: App) -> None:
    """Ping needs no key, status the master key; any function can be run by hand."""
    code = """
        @app.queue_trigger(arg_name="m", queue_name="q", connection="C")
        def work(m: func.QueueMessage):
            if m.get_body() != b"by hand":
                raise ValueError(m.get_body())
    """
    host = app.start(code, {"C": f"sqlite:{app.folder / 'q.db'}"})
    run = "/admin/functions/WORK"

    assert get(app, "/admin/host/ping").status_code == 200
    assert get(app, "/admin/host/status").status_code == 401
    assert get(app, "/admin/host/status", host.master_key).json()["state"] == "Running"
    assert get(app, run, host.function_key, "POST").status_code == 403
    assert get(app, run, host.master_key, "POST").status_code == 400
    assert get(app, run, host.master_key, "POST", json={"input": "by hand"}).status_code == 202
    unknown = get(app, "/admin/functions/none", host.master_key, "POST", json={"input": ""})
    assert unknown.status_code == 404
    until(lambda: app.count("work") == 1)
    assert app.ended[0].result.ok


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "'version'"),
        ({"version": "1.0"}, "'version'"),
        ({"version": "2.0", "extensions": {"queues": {"batchSize": 33}}}, "batchSize"),
        ({"version": "2.0", "extensions": {"queues": {"maxDequeueCount": 0}}}, "maxDequeueCount"),
        ({"version": "2.0", "extensions": {"queues": {"messageEncoding": "x"}}}, "Encoding"),
        ({"version": "2.0", "functionTimeout": "soon"}, "time span"),
    ],
)
def test_a_wrong_host_json_is_an_error(app: App, content: dict[str, Any], said: str) -> None:
    """The host answers in state Error and runs nothing."""
    app.host_json = content
    host = app.start(HTTP)

    status = get(app, "/admin/host/status", host.master_key).json()
    assert status["state"] == "Error"
    assert said in status["errors"][0]
    assert get(app, "/api/later").status_code == 503


def test_a_missing_host_json_is_an_error(app: App) -> None:
    """Without host.json there is nothing to run."""
    host = app.start(HTTP)
    host.stop()
    (app.folder / "host.json").unlink()
    host.start()

    assert host.state == "Error"


def test_settings_override_host_json(app: App) -> None:
    """AzureFunctionsJobHost__ settings come before the file."""
    app.host_json["extensions"] = {"queues": {"batchSize": 7, "visibilityTimeout": "00:00:05"}}
    host = app.start(HTTP, {"AzureFunctionsJobHost__extensions__queues__batchSize": "9"})

    assert host.host_settings is not None
    queues = host.host_settings.queues
    assert (queues.batch_size, queues.new_batch_threshold) == (9, 4)
    assert queues.visibility_timeout == timedelta(seconds=5)
    assert host.host_settings.function_timeout == timedelta(minutes=30)


def test_an_app_that_cannot_be_imported_runs_without_functions(app: App) -> None:
    """The host logs the error and stays up, with nothing to call."""
    host = app.start("raise RuntimeError('no such module')")

    assert (host.state, host.functions) == ("Running", {})
    assert "no such module" in host.errors[0]
    assert get(app, "/api/x").status_code == 404


def test_the_settings_are_in_the_environment_while_the_host_runs(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings are environment variables for the functions, and gone afterwards."""
    monkeypatch.setenv("HELD", "before")
    code = """
        import os

        @app.route(auth_level=func.AuthLevel.ANONYMOUS)
        def show(req: func.HttpRequest) -> str:
            return os.environ["HELD"] + os.environ["NEW"]
    """
    host = app.start(code, {"HELD": "during", "NEW": "!"})
    assert get(app, "/api/show").text == "during!"
    host.stop()
    host.stop()

    assert os.environ["HELD"] == "before"
    assert "NEW" not in os.environ


def test_a_binding_without_its_setting_is_off_alone(app: App) -> None:
    """%NAME% that does not resolve and a missing connection stop that function only."""
    code = """
        @app.queue_trigger(arg_name="m", queue_name="%NO_QUEUE%", connection="C")
        def first(m: func.QueueMessage): pass

        @app.queue_trigger(arg_name="m", queue_name="q", connection="NO_CONNECTION")
        def second(m: func.QueueMessage): pass

        @app.timer_trigger(arg_name="t", schedule="%WHEN%", run_on_startup=True)
        def third(t: func.TimerRequest): pass

        @app.timer_trigger(arg_name="t", schedule="nonsense")
        def fourth(t: func.TimerRequest): pass
    """
    settings = {"C": f"sqlite:{app.folder / 'q.db'}", "WHEN": "0 0 0 1 1 *"}
    host = app.start(code, settings)
    until(lambda: app.count("third") == 1)

    assert len(host.errors) == 3
    assert "'%NO_QUEUE%' does not resolve to a value." in host.errors[0]
    assert "'AzureWebJobsNO_CONNECTION' does not exist" in host.errors[1]
    assert "fourth" in host.errors[2]


def test_connections_are_found_as_the_extension_does() -> None:
    """AzureWebJobsX before X, a string before its parts, blank is AzureWebJobsStorage."""
    found = {"X": "two", "AzureWebJobsX": "one", "Y__accountName": "a", "AzureWebJobsStorage": "s"}

    assert connection("X", found) == ("one", {})
    assert connection("Y", found) == ("", {"accountName": "a"})
    assert connection("", found) == ("s", {})
    assert resolve("%X%-%AzureWebJobsX%", found) == "two-one"
    with pytest.raises(HostError, match="Storage account connection string"):
        connection("Z", found)
    assert parse_time("1.02:03:04.5") == timedelta(days=1, hours=2, minutes=3, seconds=4.5)


TIMER = """
    import json, pathlib

    @app.timer_trigger(arg_name="t", schedule="{schedule}", use_monitor=True)
    def tick(t: func.TimerRequest):
        with open(pathlib.Path(__file__).parent / "ticks", "a") as file:
            file.write(json.dumps([t.past_due, t.schedule_status]) + chr(10))
"""


def ticks(folder: Path) -> list[list[Any]]:
    """Return what the timer's function was given."""
    path = folder / "ticks"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def test_a_past_due_timer_runs_once(app: App) -> None:
    """A run missed while the host was down is made up for, once, and the next one remembered."""
    status = app.folder / "data" / "timers" / "tick.status.json"
    status.parent.mkdir(parents=True)
    due = datetime.now().astimezone() - timedelta(days=3)
    status.write_text(json.dumps({"Last": due.isoformat(), "Next": due.isoformat()}))
    host = app.start(TIMER.format(schedule="0 0 0 1 1 *"))
    until(lambda: app.count() == 1)
    host.stop()

    assert [past_due for past_due, _ in ticks(app.folder)] == [True]
    written = json.loads(status.read_text())
    assert datetime.fromisoformat(written["Next"]) > datetime.now().astimezone()


def test_a_frequent_timer_runs_and_is_not_monitored(app: App) -> None:
    """More than once a minute: it runs by its schedule and remembers nothing."""
    host = app.start(TIMER.format(schedule="* * * * * *"))
    until(lambda: app.count() >= 2)
    host.stop()

    assert ticks(app.folder)[0] == [False, None] or ticks(app.folder)[0] == [False, {}]
    assert not (app.folder / "data").exists()


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("0 */5 * * * *", "2026-01-31 23:55:01 -> 2026-02-01 00:00:00"),
        ("*/5 * * * *", "2026-01-31 23:55:01 -> 2026-02-01 00:00:00"),
        ("30 15 3 * * mon-fri", "2026-01-30 04:00:00 -> 2026-02-02 03:15:30"),
        ("0 0 0 29 2 *", "2026-01-01 00:00:00 -> 2028-02-29 00:00:00"),
        ("0 0 12 1 jan,jul *", "2026-01-01 12:00:00 -> 2026-07-01 12:00:00"),
        ("10/20 * * * * *", "2026-01-01 00:00:11 -> 2026-01-01 00:00:30"),
        ("00:30:00", "2026-01-01 00:00:11 -> 2026-01-01 00:30:11"),
    ],
)
def test_schedules(text: str, after: str) -> None:
    """NCRONTAB with and without seconds, names, lists, steps; time spans."""
    now, expected = (datetime.fromisoformat(part) for part in after.split(" -> "))

    assert Schedule.parse(text).after(now) == expected


@pytest.mark.parametrize("text", ["", "* * *", "61 * * * * *", "x * * * * *", "0 0 0 30 2 *"])
def test_wrong_schedules_are_refused(text: str) -> None:
    """What is no schedule, or never comes, is an error."""
    with pytest.raises(HostError):
        Schedule.parse(text).after(datetime(2026, 1, 1))  # noqa: DTZ001 - the host's local time
