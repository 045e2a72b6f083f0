"""host.json, app settings, indexing, time-outs, retries and the end of a host."""

from __future__ import annotations

import logging
import os
import sys
import threading
from copy import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from localcloud.functionshost import FunctionsHost, Invocation
from localcloud.functionshost.settings import HostError, QueueOptions, read_host_json
from tests import patience
from tests.patience import SECONDS, until
from tests.runtime.apps import probe, running, write

EVENT = """
@app.event_grid_trigger(arg_name="event")
def seen(event: func.EventGridEvent) -> None:
    probe.say(event.id)
"""


def notify(host: FunctionsHost, function: str, *events: object) -> httpx.Response:
    """Send events to a function."""
    url = f"{host.url}/runtime/webhooks/eventgrid?functionName={function}"
    headers = {"aeg-event-type": "Notification", "x-functions-key": host.eventgrid_key}
    return patience.post(url, json=list(events), headers=headers)


def status(host: FunctionsHost) -> dict[str, Any]:
    """Ask the host how it is."""
    headers = {"x-functions-key": host.master_key}
    answer = patience.get(f"{host.url}/admin/host/status", headers=headers)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "cannot be read"),
        ("[]", "not a JSON object"),
        ({}, "version"),
        ({"version": "1.0"}, "version"),
        ({"version": "2.0", "extensions": {"queues": {"batchSize": 33}}}, "batchSize"),
        ({"version": "2.0", "extensions": {"queues": {"batchSize": 0}}}, "batchSize"),
        ({"version": "2.0", "extensions": {"queues": {"batchSize": True}}}, "batchSize"),
        ({"version": "2.0", "extensions": {"queues": {"newBatchThreshold": -1}}}, "newBatch"),
        ({"version": "2.0", "extensions": {"queues": {"maxDequeueCount": 0}}}, "maxDequeue"),
        (
            {"version": "2.0", "extensions": {"queues": {"maxPollingInterval": "00:00:00.05"}}},
            "maxPollingInterval",
        ),
        ({"version": "2.0", "extensions": {"queues": {"messageEncoding": "hex"}}}, "Encoding"),
        ({"version": "2.0", "extensions": []}, "extensions"),
        ({"version": "2.0", "functionTimeout": "soon"}, "time span"),
        ({"version": "2.0", "retry": {"strategy": "never"}}, "strategy"),
    ],
)
def test_a_host_json_that_cannot_be_used_is_told_and_runs_nothing(
    tmp_path: Path, content: object, problem: str
) -> None:
    """The host answers in state Error, says why, and refuses events at once."""
    with running(tmp_path, EVENT, host=content) as host:
        told = status(host)
        assert told["state"] == "Error"
        assert problem in told["errors"][0]
        assert notify(host, "seen", {"id": "1", "data": {}}).status_code == 503
        assert patience.get(f"{host.url}/admin/host/ping").status_code == 200


def test_host_json_is_read_as_dotnet_does(tmp_path: Path) -> None:
    """Names in any case, numbers as texts, unknown keys ignored; settings come before the file."""
    queues = {"BatchSize": "4", "visibilitytimeout": "00:00:30", "unknown": 1}
    write(tmp_path, "", {"Version": "2.0", "extensions": {"Queues": queues}, "functionTimeout": -1})
    settings = {"AzureFunctionsJobHost__extensions__queues__maxDequeueCount": "9"}
    read = read_host_json(tmp_path, settings)

    assert (read.queues.batch_size, read.queues.max_dequeue_count) == (4, 9)
    assert read.queues.visibility_timeout.total_seconds() == 30
    assert read.function_timeout is None
    assert read.queues.new_batch_threshold == 2 * (os.cpu_count() or 1)


def test_polling_is_faster_where_one_develops(tmp_path: Path) -> None:
    """MaxPollingInterval is a minute, and two seconds in the environment Development."""
    write(tmp_path, "", {"version": "2.0"})
    assert read_host_json(tmp_path, {}).queues.max_polling_interval.total_seconds() == 60
    developing = {"AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    assert read_host_json(tmp_path, developing).queues.max_polling_interval.total_seconds() == 2


def test_a_missing_host_json_is_written(tmp_path: Path) -> None:
    """The default one, with the extension bundle, as in Azure."""
    write(tmp_path, EVENT)
    (tmp_path / "host.json").unlink()
    with FunctionsHost(tmp_path, {}) as host:
        assert status(host)["extensionBundle"]["id"] == "Microsoft.Azure.Functions.ExtensionBundle"
    assert read_host_json(tmp_path, {}).queues.batch_size == QueueOptions().batch_size


@pytest.mark.parametrize(
    "code",
    [
        "raise ValueError('at import')",
        "import no_such_module",
        "raise SystemExit(3)",
        EVENT + EVENT,
        "del app",
        "@app.route()\ndef f(req: func.HttpRequest, extra: int) -> str: return ''",
    ],
)
def test_an_app_that_cannot_be_indexed_leaves_a_host_without_functions(
    tmp_path: Path, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, the host runs, and events find no function."""
    with running(tmp_path, code) as host:
        assert host.functions == {}
        assert status(host)["state"] == "Running"
        assert notify(host, "seen", {"id": "1", "data": {}}).status_code == 404
    assert "could not be indexed" in caplog.text


def test_a_function_in_error_leaves_the_others_running(tmp_path: Path) -> None:
    """An unresolved setting, connection, schedule or binding switches one function off."""
    code = """
@app.queue_trigger(arg_name="m", queue_name="%NO_SUCH%", connection="S")
def unresolved(m: func.QueueMessage) -> None: ...

@app.queue_trigger(arg_name="m", queue_name="q", connection="Nowhere")
def unconnected(m: func.QueueMessage) -> None: ...

@app.queue_trigger(arg_name="m", queue_name="q", connection="Broken")
def broken(m: func.QueueMessage) -> None: ...

@app.timer_trigger(arg_name="t", schedule="every day")
def unscheduled(t: func.TimerRequest) -> None: ...

@app.blob_trigger(arg_name="b", path="p/{n}", connection="S")
def blob(b: func.InputStream) -> None: ...

@app.route(route="admin/x")
def builtin(req: func.HttpRequest) -> str: return ""

@app.event_grid_trigger(arg_name="event")
@app.table_output(arg_name="o", table_name="t", connection="S")
def table(event: func.EventGridEvent, o: func.Out[str]) -> None: ...
"""
    settings = {"S": f"sqlite:{tmp_path / 'q.db'}", "Broken": "AccountKey=secret"}
    with running(tmp_path, code + EVENT, settings) as host:
        errors = "\n".join(status(host)["errors"])
        assert set(host.functions) == {"seen"}
        assert "'%NO_SUCH%' does not resolve to a value." in errors
        assert "Storage account connection string 'AzureWebJobsNowhere' does not exist" in errors
        assert "secret" not in errors
        for name in ("broken", "unscheduled", "blob", "builtin", "table"):
            assert f"'{name}' function is in error" in errors
        assert notify(host, "seen", {"id": "1", "data": {}}).status_code == 202


@pytest.mark.parametrize("name", ["AzureWebJobs.seen.Disabled", "AzureWebJobs_seen_Disabled"])
def test_a_disabled_function_gets_no_events_but_can_be_run_by_hand(
    tmp_path: Path, name: str
) -> None:
    """Its webhook is not found; the admin endpoint runs it all the same."""
    with running(tmp_path, EVENT, {name: "True"}) as host:
        assert notify(host, "seen", {"id": "1", "data": {}}).status_code == 404
        answer = patience.post(
            f"{host.url}/admin/functions/SEEN",
            json={"input": '{"id": "by hand", "data": {}}'},
            headers={"x-functions-key": host.master_key},
        )
        assert answer.status_code == 202
        assert probe.wait(1) == ["by hand"]


def test_settings_are_in_the_environment_while_the_host_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app reads them when it is imported; afterwards all is as it was, threads too."""
    monkeypatch.setenv("PROBE_OLD", "before")
    monkeypatch.delenv("PROBE_NEW", raising=False)
    before, path = set(threading.enumerate()), list(sys.path)
    code = "import os\nprobe.say((os.environ['PROBE_OLD'], os.environ['PROBE_NEW']))\n" + EVENT
    with running(tmp_path, code, {"PROBE_OLD": "during", "PROBE_NEW": "during"}):
        assert probe.said == [("during", "during")]
    assert os.environ["PROBE_OLD"] == "before"
    assert "PROBE_NEW" not in os.environ
    until(lambda: set(threading.enumerate()) <= before, "the end of every thread")
    assert sys.path == path
    assert "function_app" not in sys.modules


def test_a_second_start_imports_the_app_anew(tmp_path: Path) -> None:
    """A changed function_app.py is what runs, from another folder or from the same."""
    for folder in (tmp_path / "a", tmp_path / "b", tmp_path / "b"):
        word = f"{folder.name} again" if folder.exists() else folder.name
        code = EVENT.replace("event.id", repr(word))
        with running(folder, code) as host:
            assert notify(host, "seen", {"id": "1", "data": {}}).status_code == 202
            assert probe.said == [word]


def test_the_same_host_can_start_again(tmp_path: Path) -> None:
    """Stop and start bring it back, on another port, with the same keys."""
    probe.reset()
    host = FunctionsHost(write(tmp_path, EVENT), {})
    for _ in range(2):
        host.start()
        assert notify(host, "seen", {"id": "1", "data": {}}).status_code == 202
        host.stop()
        host.stop()
    assert probe.said == ["1", "1"]


def test_one_host_runs_in_a_process_at_a_time(tmp_path: Path) -> None:
    """The second is refused, and the first is not disturbed."""
    with running(tmp_path, EVENT) as host:
        with pytest.raises(RuntimeError, match="already"):
            FunctionsHost(tmp_path, {}).start()
        assert notify(host, "seen", {"id": "1", "data": {}}).status_code == 202


@pytest.mark.parametrize("how", ["def", "async def"])
def test_functions_run_beside_each_other(tmp_path: Path, how: str) -> None:
    """Two runs that wait for each other both end, in threads or on the worker's loop."""
    wait = f"meet.wait({SECONDS})" if how == "def" else "await meet.wait()"
    barrier = "threading.Barrier(2)" if how == "def" else "asyncio.Barrier(2)"
    code = f"""
import asyncio, threading
meet = {barrier}

@app.event_grid_trigger(arg_name="event")
{how} seen(event: func.EventGridEvent, context: func.Context) -> None:
    {wait}
    probe.say((context.function_name, context.invocation_id))
"""
    told: list[Invocation] = []
    with running(tmp_path, code, on_invocation=told.append) as host:
        answer = notify(host, "seen", {"id": "1", "data": {}}, {"id": "2", "data": {}})
        assert answer.status_code == 202
    assert {name for name, _ in probe.said} == {"seen"}
    assert {number for _, number in probe.said} == {each.invocation_id for each in told}
    assert {each.trigger for each in told} == {"event 1", "event 2"}
    assert all(each.result.ok and each.function == "seen" for each in told)


def test_a_failing_observer_does_not_fail_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What on_invocation raises is logged, and the event is accepted."""

    def fail(_: Invocation) -> None:
        raise ValueError("the observer failed")

    with running(tmp_path, EVENT, on_invocation=fail) as host:
        assert notify(host, "seen", {"id": "1", "data": {}}).status_code == 202
    assert "on_invocation failed" in caplog.text


def test_a_run_over_its_time_fails_and_takes_its_neighbours_along(tmp_path: Path) -> None:
    """FunctionTimeout ends the worker, so other runs fail too; the next run succeeds."""
    code = """
@app.event_grid_trigger(arg_name="event")
def stuck(event: func.EventGridEvent) -> None:
    probe.say(event.id)
    if event.id != "quick":
        probe.hold()
"""
    told: list[Invocation] = []
    content = {"version": "2.0", "functionTimeout": "00:00:00.5"}
    with running(tmp_path, code, host=content, on_invocation=told.append) as host:
        answer = notify(host, "stuck", {"id": "1", "data": {}}, {"id": "2", "data": {}})
        assert answer.status_code == 500
        errors = sorted(str(each.result.error) for each in told)
        assert errors[0] == "Timeout value of 0:00:00.500000 exceeded by function 'Functions.stuck'"
        assert "started anew" in errors[1] or errors[1] == errors[0]
        assert host.host_settings is not None
        host.host_settings = replace(host.host_settings, function_timeout=None)
        assert notify(host, "stuck", {"id": "quick", "data": {}}).status_code == 202


RETRY = """
@app.event_grid_trigger(arg_name="event")
{policy}
def unsteady(event: func.EventGridEvent, context: func.Context) -> None:
    retry = context.retry_context
    probe.say((retry.retry_count, retry.max_retry_count))
    if retry.retry_count < {fail}:
        raise ValueError("not yet")
"""
FIXED = '@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00")'


def test_a_retry_policy_repeats_a_failed_run(tmp_path: Path) -> None:
    """For any trigger, in place, as often as it says; the last result counts."""
    with running(tmp_path, RETRY.format(policy=FIXED, fail=2)) as host:
        assert notify(host, "unsteady", {"id": "1", "data": {}}).status_code == 202
    assert probe.said == [(0, 2), (1, 2), (2, 2)]
    with running(tmp_path, RETRY.format(policy=FIXED, fail=9)) as host:
        assert notify(host, "unsteady", {"id": "1", "data": {}}).status_code == 500
    assert len(probe.said) == 3


def test_a_retry_policy_can_stand_in_host_json(tmp_path: Path) -> None:
    """It holds for functions that have none of their own."""
    policy = {
        "strategy": "exponentialBackoff",
        "maxRetryCount": 1,
        "minimumInterval": "00:00:00.01",
        "maximumInterval": "00:00:01",
    }
    content = {"version": "2.0", "retry": policy}
    with running(tmp_path, RETRY.format(policy="", fail=1), host=content) as host:
        assert notify(host, "unsteady", {"id": "1", "data": {}}).status_code == 202
    assert probe.said == [(0, 1), (1, 1)]


def test_pauses_double_up_to_the_longest(tmp_path: Path) -> None:
    """ExponentialBackoff begins with the shortest pause and ends with the longest."""
    policy = {
        "strategy": "exponentialBackoff",
        "maxRetryCount": -1,
        "minimumInterval": "00:00:01",
        "maximumInterval": "00:00:05",
    }
    write(tmp_path, "", {"version": "2.0", "retry": policy})
    retry = read_host_json(tmp_path, {}).retry
    assert retry is not None
    assert retry.most == -1
    assert [retry.pause(n).total_seconds() for n in (0, 1, 2, 3, 10**6)] == [1, 2, 4, 5, 5]
    write(tmp_path, "", {"version": "2.0", "retry": {**policy, "maxRetryCount": "often"}})
    with pytest.raises(HostError, match="maxRetryCount"):
        read_host_json(tmp_path, {})


def test_stop_lets_a_running_function_end(tmp_path: Path) -> None:
    """Within its grace the function ends, and its event is accepted."""
    code = EVENT + "    probe.hold()\n    probe.say('over')\n"
    probe.reset()
    host = FunctionsHost(write(tmp_path, code), {})
    host.start()
    answers: list[int] = []
    caller = threading.Thread(
        target=lambda: answers.append(notify(host, "seen", {"id": "1", "data": {}}).status_code)
    )
    caller.start()
    probe.wait(1)
    stopper = threading.Thread(target=host.stop, args=(SECONDS,))
    stopper.start()
    until(lambda: host.state == "Stopping")
    probe.gate.set()
    stopper.join()
    caller.join()
    assert probe.said == ["1", "over"]
    assert answers == [202]


def test_what_fails_is_logged_with_its_id(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The exception's type and text come back, and nothing else stops."""
    caplog.set_level(logging.INFO)
    code = EVENT + "    raise ValueError('boom')\n"
    told: list[Invocation] = []
    with running(tmp_path, code, on_invocation=told.append) as host:
        answer = notify(host, "seen", {"id": "1", "data": {}})
    assert answer.status_code == 500
    assert "ValueError" in answer.text
    assert "boom" in answer.text
    (failed,) = told
    assert not failed.result.ok
    assert f"(Failed, Id={failed.invocation_id})" in caplog.text
    assert host.eventgrid_key not in caplog.text
    assert host.master_key not in caplog.text
