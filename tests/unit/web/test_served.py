"""The page as it is served: on this machine with a token, and as HTTP functions."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import azure.functions as func
import pytest

import function_app
from functions import web
from rebuilder.settings import which_app
from rebuilder.settings.table import WEB
from rebuilder.usecases.context import Context
from rebuilder.web.endpoints import ENDPOINTS
from rebuilder.web.local import LocalServer
from rebuilder.web.principals import Role


@pytest.fixture(name="server")
def _server(story: Context) -> Iterator[LocalServer]:
    server = LocalServer(story, "mira", frozenset({Role.READER}))
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.stop()
    thread.join()
    server.close()


def asked(
    server: LocalServer, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> http.client.HTTPResponse:
    """Ask a server; the answer is read already."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request(method, path, body, {n.replace("_", "-"): v for n, v in headers.items()})
    answer = connection.getresponse()
    answer.content = answer.read()  # type: ignore[attr-defined] # kept with it
    connection.close()
    return answer


def content(answer: http.client.HTTPResponse) -> bytes:
    """Return what was read."""
    found: bytes = answer.content  # type: ignore[attr-defined] # as above
    return found


def test_the_address_lets_in_and_its_token_goes_away(server: LocalServer) -> None:
    """It becomes a cookie that no script reads and no other site's page sends."""
    parts = urlsplit(server.address)
    first = asked(server, f"{parts.path}?{parts.query}")
    cookie = first.headers["Set-Cookie"]

    assert (first.status, first.headers["Location"]) == (303, "/")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    me = asked(server, "/api/me", Cookie=cookie.partition(";")[0])
    assert json.loads(content(me))["name"] == "mira"
    assert json.loads(content(me))["roles"] == ["Reader"]
    deep = asked(server, f"/tasks?{parts.query}")
    assert deep.headers["Location"] == "/tasks"
    away = asked(server, f"//evil.example/x?{parts.query}")
    assert away.headers["Location"] == "/evil.example/x"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 401),
        ("/?token=wrong", {}, 401),
        ("/api/now", {"Cookie": "rebuilder-0=x"}, 401),
        ("/api/now", {"Cookie": "a=b;=;\x01"}, 401),
        ("/", {"Host": "evil.example"}, 403),
    ],
)
def test_nobody_else_is_let_in(
    server: LocalServer, path: str, headers: dict[str, str], status: int
) -> None:
    """Without the token, with a wrong one, under another name."""
    assert asked(server, path, **headers).status == status


def test_what_is_posted_has_a_length(server: LocalServer) -> None:
    """And not more than a policy file; a reader may act on nothing."""
    assert asked(server, "/api/acts", "POST", "", Content_Length="x").status == 413
    assert asked(server, "/api/acts", "POST", "", Content_Length="999999999").status == 413
    token = urlsplit(server.address).query.partition("=")[2]
    body = json.dumps({"what": "pause", "because": "x"})
    found = asked(
        server,
        "/api/acts",
        "POST",
        body,
        Cookie=f"rebuilder-{server.port}={token}",
        Content_Type="application/json",
        X_Rebuilder="1",
    )
    assert found.status == 403
    assert json.loads(content(found))["code"] == "role-missing"


def test_what_has_not_changed_has_no_body(server: LocalServer) -> None:
    """304 ends with its head."""
    token = urlsplit(server.address).query.partition("=")[2]
    cookie = f"rebuilder-{server.port}={token}"
    first = asked(server, "/app.css", Cookie=cookie)
    again = asked(server, "/app.css", Cookie=cookie, If_None_Match=first.headers["ETag"])
    assert (again.status, content(again)) == (304, b"")


def http_request(path: str, **headers: str) -> func.HttpRequest:
    """Return a request as the host hands it over."""
    return func.HttpRequest(
        "GET",
        f"https://rebuilder-web.azurewebsites.net{path}",
        headers={"host": "rebuilder-web.azurewebsites.net", **headers},
        params={"standing": "building"} if "tasks" in path else {},
        body=b"",
    )


def test_functions_answer_behind_easy_auth(story: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each endpoint is a function of its own, which lets nobody in that nobody vouches for."""
    monkeypatch.setattr("rebuilder.composition.compose", lambda: story)
    claims = [{"typ": "oid", "val": "6f0c"}, {"typ": "roles", "val": "Reader"}]
    header = base64.b64encode(json.dumps({"claims": claims}).encode()).decode()
    signed = {"x-ms-client-principal": header}
    web._app.cache_clear()
    assert web.answer(http_request("/api/me", **signed)).status_code == 403
    monkeypatch.setenv("REBUILDER_SIGN_IN", "easy-auth")
    assert web.answer(http_request("/api/me")).status_code == 401
    me = web.answer(http_request("/api/me", **signed))
    assert json.loads(me.get_body())["id"] == "6f0c"
    page = web.answer(http_request("/tasks", **signed))
    assert page.mimetype == "text/html; charset=utf-8"
    app = func.FunctionApp()
    app.register_functions(web.blueprint)
    functions = {found.get_function_name(): found for found in app.get_functions()}
    assert set(functions) == {f"web_{e.name}" for e in ENDPOINTS} | {"web_page"}
    found = functions["web_me"].get_user_function()(http_request("/api/me", **signed))
    assert found.status_code == 200
    web._app.cache_clear()


def test_one_package_is_two_apps() -> None:
    """Without the setting it is the one that rebuilds, which has no HTTP function."""
    assert which_app({}) == "rebuild"
    assert which_app({"REBUILDER_APP": " Web "}) == WEB
    # An app tells its functions once only, and another test of this process may have asked.
    made = [builder._function.get_trigger() for builder in function_app.app._function_builders]
    kinds = {trigger.type for trigger in made if trigger is not None}
    assert "eventGridTrigger" in kinds
    assert "httpTrigger" not in kinds
