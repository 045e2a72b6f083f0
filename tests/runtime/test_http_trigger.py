"""HTTP functions and the admin endpoints."""

from __future__ import annotations

from pathlib import Path

from localcloud.functionshost import FunctionsHost
from tests import patience
from tests.runtime.apps import probe, running

APP = """
@app.route()
def plain(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("plain")

@app.route(route="items/{id:int}/{rest?}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def item(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse(str(dict(req.route_params)), status_code=201, mimetype="text/x")
    response.headers.add("Set-Cookie", "a=b")
    response.headers.add("Set-Cookie", "c=d")
    return response

@app.route(route="items/new", auth_level=func.AuthLevel.ANONYMOUS)
def new_item(req: func.HttpRequest) -> str:
    return f"{req.method} {req.params.get('q')} {req.get_body().decode()}"

@app.route(route="files/{*path}", auth_level=func.AuthLevel.ANONYMOUS)
def files(req: func.HttpRequest) -> str:
    return req.route_params.get("path", "-")

@app.route(auth_level=func.AuthLevel.ADMIN)
def secret(req: func.HttpRequest) -> str:
    return "secret"

@app.route(auth_level=func.AuthLevel.ANONYMOUS)
def fails(req: func.HttpRequest) -> str:
    raise ValueError("boom")

@app.route(auth_level=func.AuthLevel.ANONYMOUS)
def nothing(req: func.HttpRequest):
    return None

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
def yearly(timer: func.TimerRequest) -> None:
    probe.say(("timer", timer.past_due))

@app.queue_trigger(arg_name="m", queue_name="q", connection="S")
def queued(m: func.QueueMessage) -> None:
    probe.say(("queue", m.get_body().decode()))
"""


def settings(folder: Path) -> dict[str, str]:
    """Return what the app needs."""
    return {"S": f"sqlite:{folder / 'q.db'}"}


def test_keys_by_level(tmp_path: Path) -> None:
    """Function takes the host or master key, admin the master key alone; else 401."""
    with running(tmp_path, APP, settings(tmp_path)) as host:

        def answer(path: str, key: str = "") -> int:
            return patience.get(f"{host.url}/api/{path}?code={key}").status_code

        assert answer("plain") == 401
        assert answer("plain", "wrong") == 401
        assert answer("plain", host.eventgrid_key) == 401
        assert answer("plain", host.function_key) == 200
        assert answer("plain", host.master_key) == 200
        assert answer("secret", host.function_key) == 401
        assert answer("secret", host.master_key) == 200
        assert answer("files/x", "wrong") == 200


def test_routes_and_methods(tmp_path: Path) -> None:
    """Parameters, constraints, catch-alls; the more literal route wins; a wrong verb is 404."""
    with running(tmp_path, APP, settings(tmp_path)) as host:
        api = f"{host.url}/api"
        answer = patience.get(f"{api}/Items/7/more")
        assert (answer.status_code, answer.text) == (201, "{'id': '7', 'rest': 'more'}")
        assert answer.headers.get_list("set-cookie") == ["a=b", "c=d"]
        assert answer.headers["content-type"].startswith("text/x")
        assert patience.get(f"{api}/items/7").text == "{'id': '7'}"
        assert patience.get(f"{api}/items/seven").status_code == 404
        assert patience.post(f"{api}/items/7").status_code == 404
        assert patience.request("PUT", f"{api}/items/new?q=1", content="body").text == "PUT 1 body"
        assert patience.get(f"{api}/files/a/b.txt").text == "a/b.txt"
        assert patience.get(f"{api}/files").text == "-"
        assert patience.get(f"{api}/no/such").status_code == 404
        assert patience.get(f"{host.url}/files/a").status_code == 404


def test_a_function_that_fails_is_a_500(tmp_path: Path) -> None:
    """So is one that returns nothing."""
    with running(tmp_path, APP, settings(tmp_path)) as host:
        assert patience.get(f"{host.url}/api/fails").status_code == 500
        assert patience.get(f"{host.url}/api/nothing").status_code == 500


def test_the_route_prefix_comes_from_host_json(tmp_path: Path) -> None:
    """It may be empty."""
    for prefix, path in (("v1/x", "/v1/x/files/a"), ("", "/files/a")):
        content = {"version": "2.0", "extensions": {"http": {"routePrefix": prefix}}}
        with running(tmp_path, APP, settings(tmp_path), host=content) as host:
            assert patience.get(host.url + path).text == "a"
            assert patience.get(f"{host.url}/api/files/a").status_code == 404


def test_a_disabled_function_answers_the_master_key_alone(tmp_path: Path) -> None:
    """Without a key it is 401, with a function's key 404."""
    with running(tmp_path, APP, {**settings(tmp_path), "AzureWebJobs.plain.Disabled": "1"}) as host:
        url = f"{host.url}/api/plain?code="
        assert patience.get(url).status_code == 401
        assert patience.get(url + host.function_key).status_code == 404
        assert patience.get(url + host.master_key).status_code == 200


def by_hand(host: FunctionsHost, name: str, body: str, key: str = "") -> int:
    """Run a function by the admin endpoint."""
    headers = {"x-functions-key": key or host.master_key}
    url = f"{host.url}/admin/functions/{name}"
    return patience.post(url, content=body, headers=headers).status_code


def test_functions_are_run_by_hand(tmp_path: Path) -> None:
    """Any trigger, in any case, 202 at once; no body 400, unknown 404, no key 401."""
    with running(tmp_path, APP, settings(tmp_path)) as host:
        assert by_hand(host, "QUEUED", '{"input": "hello"}') == 202
        assert probe.wait(1) == [("queue", "hello")]
        assert by_hand(host, "yearly", "{}") == 202
        assert probe.wait(2)[1] == ("timer", False)
        assert by_hand(host, "queued", "") == 400
        assert by_hand(host, "queued", "[]") == 400
        assert by_hand(host, "other", "{}") == 404
        assert by_hand(host, "queued", "{}", "wrong") == 401
        assert by_hand(host, "queued", "{}", host.function_key) == 403


def test_the_host_tells_how_it_is(tmp_path: Path) -> None:
    """Ping is open; status and drain take the master key; draining stops the listeners."""
    with running(tmp_path, APP, settings(tmp_path)) as host:
        assert patience.post(f"{host.url}/admin/host/ping").content == b""
        assert patience.get(f"{host.url}/admin/host/status").status_code == 401
        headers = {"x-functions-key": host.master_key}
        told = patience.get(f"{host.url}/admin/host/status", headers=headers).json()
        assert told["state"] == "Running"
        assert told["errors"] == []
        assert told["version"].startswith("4.")
        assert patience.post(f"{host.url}/admin/host/drain").status_code == 401
        assert patience.post(f"{host.url}/admin/host/drain", headers=headers).status_code == 202
        assert patience.get(f"{host.url}/api/files/a").text == "a"
