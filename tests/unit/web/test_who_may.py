"""Who may ask for what: each endpoint and act for each role, and what comes from elsewhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from itertools import product

import pytest

from rebuilder.core.policies.acts import Act, NewPolicy, What
from rebuilder.errors import StoreUnavailable
from rebuilder.web.acts import ACTS
from rebuilder.web.app import App
from rebuilder.web.endpoints import ENDPOINTS, Endpoint
from rebuilder.web.http import Refusal, Request
from rebuilder.web.principals import EVERYBODY, Principal, Role, from_easy_auth, vouched
from tests.browser.story import SERVICE
from tests.unit.web.conftest import HOST, Browser
from tests.unit.web.test_api import ASKED, SENT, push_of

READER, OPERATOR, APPROVER, ADMIN = Role.READER, Role.OPERATOR, Role.APPROVER, Role.ADMIN
MAY: dict[str, set[Role]] = {
    **{endpoint.name: {READER, OPERATOR, APPROVER, ADMIN} for endpoint in ENDPOINTS},
    "act": {OPERATOR, APPROVER, ADMIN},
}
MAY_ACT: dict[What, set[Role]] = {
    What.PAUSE: {OPERATOR, ADMIN},
    What.RESUME: {OPERATOR, ADMIN},
    What.APPROVE: {APPROVER, ADMIN},
    What.REJECT: {APPROVER, ADMIN},
    What.RELEASE: {OPERATOR, ADMIN},
    What.RETRY: {OPERATOR, ADMIN},
    What.BUILD: {OPERATOR, ADMIN},
    What.REPLAY: {OPERATOR, ADMIN},
    What.DISCARD: {OPERATOR, ADMIN},
    What.APPLY: {ADMIN},
    What.ROLLBACK: {ADMIN},
}


@pytest.mark.parametrize(
    ("endpoint", "role"),
    list(product(ENDPOINTS, [*Role, None])),
    ids=lambda value: value.name if isinstance(value, Endpoint) else str(value),
)
def test_every_endpoint_for_every_role(
    endpoint: Endpoint, role: Role | None, browser: Browser, acts: Callable[[], list[Act]]
) -> None:
    """What the table says, and nothing for whoever has no role."""
    queries = ASKED.get(endpoint.name, [{}])
    query = queries[0] if endpoint.name != "push" else {"key": push_of(browser, SERVICE)}
    if endpoint.name == "log":
        query = {"registry": "nobody", "run": "ca1"}
    body = SENT[endpoint.name][0] if endpoint.method == "POST" else None
    if endpoint.name == "act" and role is APPROVER:
        body = {"what": "approve", "because": "a test", "of": ["x"]}
    browser.roles = frozenset({role} if role else ())
    found = browser.ask(endpoint.method, endpoint.path, query, body)
    allowed = role in MAY[endpoint.name]
    assert (found.status != 403) is allowed, found.body
    if not allowed:
        assert json.loads(found.body)["code"] == "role-missing"
    acts()


@pytest.mark.parametrize(("what", "role"), list(product(ACTS, Role)))
def test_every_act_for_every_role(
    what: What, role: Role, browser: Browser, acts: Callable[[], list[Act]]
) -> None:
    """An act that they may becomes a message with their name; one that they may not is recorded."""
    browser.roles = frozenset({role})
    body: dict[str, object] = {"what": what.value, "because": "a test"}
    body |= {"of": ["x"]} if ACTS[what].of else {}
    body |= {"scope": "digest", "pattern": "a/b:1@sha256:c"} if ACTS[what].digest else {}
    body |= {"text": "version: 1\n", "before": "1"} if ACTS[what].text else {}
    body |= {"number": 1, "before": "2"} if ACTS[what].number else {}
    found = browser.ask("POST", "/api/acts", {}, body)
    sent = acts()
    if role in MAY_ACT[what]:
        assert found.status == 202, found.body
        assert [(act.what, act.who) for act in sent] == [(what, "oid-1")]
        assert browser.get("/api/me")["acts"] == [w.value for w in ACTS if role in MAY_ACT[w]]
    else:
        assert found.status == 403
        assert [(act.what, act.who) for act in sent] == [(What.REFUSED, "oid-1")]
        assert "role-missing" in sent[0].because


def test_an_act_says_what_it_is_about(browser: Browser, acts: Callable[[], list[Act]]) -> None:
    """Its target, its end and its reason reach the first app as they were given."""
    until = "2990-01-01T00:00:00Z"
    body = {
        "what": "pause",
        "because": "the mesh first",
        "scope": "task",
        "pattern": "contosoapps/gateway",
        "until": until,
    }
    assert browser.ask("POST", "/api/acts", {}, body).status == 202
    (act,) = acts()
    assert (str(act.target), act.because) == ("--task contosoapps/gateway", "the mesh first")
    assert act.until is not None
    assert act.until.year == 2990


@pytest.mark.parametrize(
    "wrong",
    [
        {"what": "pause"},
        {"what": "pause", "because": " "},
        {"what": "pause", "because": "x" * 501},
        {"what": "pause", "because": "x", "scope": "task"},
        {"what": "pause", "because": "x", "pattern": "x"},
        {"what": "pause", "because": "x", "scope": "task", "pattern": "x" * 501},
        {"what": "pause", "because": "x", "until": "2020-01-01T00:00:00Z"},
        {"what": "pause", "because": "x", "until": "2990-01-01T00:00:00"},
        {"what": "pause", "because": "x", "of": ["a"]},
        {"what": "resume", "until": "2990-01-01T00:00:00Z"},
        {"what": "approve", "because": "x"},
        {"what": "approve", "because": "x", "of": ["a"] * 501},
        {"what": "pause", "because": "x", "scope": "digest", "pattern": "a/b:1@sha256:c"},
        {"what": "release", "because": "x"},
        {"what": "replay"},
        {"what": "apply", "because": "x"},
        {"what": "apply", "because": "x", "text": " "},
        {"what": "apply", "because": "x", "text": "version: 2"},
        {"what": "apply", "because": "x", "text": "version: 1", "number": 1},
        {"what": "apply", "because": "x", "text": "version: 1", "before": "x" * 501},
        {"what": "apply", "text": "version: 1"},
        {"what": "rollback", "because": "x"},
        {"what": "rollback", "because": "x", "number": -1},
        {"what": "rollback", "because": "x", "number": 1, "text": "version: 1"},
        {"what": "pause", "because": "x", "text": "version: 1"},
        {"what": "pause", "because": "x", "before": "1"},
        {"what": "refused", "because": "x"},
        {"what": "explode", "because": "x"},
        ["pause"],
        None,
    ],
    ids=str,
)
def test_an_act_that_is_not_whole_is_not_sent(
    wrong: object, browser: Browser, acts: Callable[[], list[Act]]
) -> None:
    """And it is told what is wrong with it."""
    found = browser.ask("POST", "/api/acts", {}, wrong)
    assert found.status == 400
    assert json.loads(found.body)["problem"]
    assert acts() == []


def test_a_policy_file_reaches_the_first_app_whole(
    browser: Browser, acts: Callable[[], list[Act]]
) -> None:
    """With the version that it is to replace; one that no message holds is left to the command."""
    shown = browser.get("/api/policies")
    text = f"{shown['text']}# {'ü' * 2000}\n"
    body = {"what": "apply", "because": "x", "text": text, "before": shown["token"]}
    assert browser.ask("POST", "/api/acts", {}, body).status == 202
    (act,) = acts()
    assert act.policy == NewPolicy(shown["token"], text)
    assert shown["token"]
    found = browser.ask("POST", "/api/acts", {}, {**body, "text": f"{text}# {'x' * 50_000}\n"})
    assert (found.status, json.loads(found.body)["code"]) == (413, "too-large")
    assert "`rebuilder policy apply FILE` applies it" in json.loads(found.body)["problem"]
    assert acts() == []


def test_a_body_has_an_end(browser: Browser) -> None:
    """More than a policy file is not read."""
    found = browser.ask("POST", "/api/policies/try", {}, {"text": "x" * 400_000})
    assert found.status == 413


FOREIGN = [
    ("GET", {"host": "evil.example"}, "foreign-host"),
    ("GET", {"host": ""}, "foreign-host"),
    ("GET", {"origin": "https://evil.example"}, "foreign-origin"),
    ("GET", {"origin": "null"}, "foreign-origin"),
    ("GET", {"sec_fetch_site": "cross-site"}, "cross-site"),
    ("GET", {"sec_fetch_site": "same-site"}, "cross-site"),
    ("POST", {"origin": "http://127.0.0.1:2"}, "foreign-origin"),
    ("POST", {"content_type": "text/plain"}, "cross-site"),
    ("POST", {"x_rebuilder": ""}, "cross-site"),
    ("POST", {"sec_fetch_site": "cross-site"}, "cross-site"),
]


@pytest.mark.parametrize(("method", "headers", "code"), FOREIGN, ids=str)
def test_what_another_site_asks_is_refused_and_recorded(
    method: str,
    headers: dict[str, str],
    code: str,
    browser: Browser,
    acts: Callable[[], list[Act]],
) -> None:
    """Nothing is done, and it stands where acts do."""
    body = {"what": "pause", "because": "x"} if method == "POST" else None
    found = browser.ask(method, "/api/acts", {}, body, **headers)
    assert (found.status, json.loads(found.body)["code"]) == (403, code)
    assert [act.what for act in acts()] == [What.REFUSED]


def test_another_site_may_link_to_the_page_and_not_into_the_api(browser: Browser) -> None:
    """A link is followed; what it leads to asks for itself."""
    assert browser.ask("GET", "/tasks", sec_fetch_site="cross-site").status == 200
    assert browser.ask("DELETE", "/api/acts").status == 405
    assert browser.ask("PUT", "/").status == 404


def test_a_flood_of_refusals_is_no_flood_of_messages(
    browser: Browser, acts: Callable[[], list[Act]]
) -> None:
    """The same is told once in ten minutes, and of all kinds twenty at most."""
    browser.roles = frozenset()
    for _ in range(5):
        browser.ask("GET", "/api/now")
    assert len(acts()) == 1
    for number in range(40):
        browser.ask("GET", f"/{number}.js")
    assert len(acts()) == 19


def test_every_answer_is_for_the_page_alone(browser: Browser) -> None:
    """No other host is asked for anything, nobody frames it, no script stands in it."""
    for path in ("/", "/api/now", "/none", "/app.js"):
        headers = browser.ask("GET", path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_what_goes_wrong_is_an_answer(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away is 503; what nobody thought of is 500 without its text."""

    def away(_: object) -> None:
        raise StoreUnavailable("the file is gone")

    def odd(_: object) -> None:
        raise KeyError("secret")

    where = "rebuilder.usecases.views.overview.overview"
    monkeypatch.setattr(where, away)
    assert browser.ask("GET", "/api/now").status == 503
    monkeypatch.setattr(where, odd)
    found = browser.ask("GET", "/api/now")
    assert found.status == 500
    assert b"secret" not in found.body


def test_a_refusal_that_cannot_be_sent_is_refused_all_the_same() -> None:
    """The store is away; the log has it."""

    def away() -> object:
        raise StoreUnavailable("the file is gone")

    app = App(away, lambda _: Principal("x", "x", frozenset()), {HOST})  # type: ignore[arg-type] # it never returns
    assert app.answer(Request("GET", "/api/now", {}, {"host": HOST})).status == 403


def principal(*claims: tuple[str, str], **more: object) -> str:
    """Return a header as Easy Auth writes it."""
    told = {"auth_typ": "aad", "claims": [{"typ": t, "val": v} for t, v in claims], **more}
    return base64.b64encode(json.dumps(told).encode()).decode()


OID = ("http://schemas.microsoft.com/identity/claims/objectidentifier", "6f0c")
ON = {"REBUILDER_SIGN_IN": "easy-auth"}


def asked(header: str) -> Request:
    """Return a request with a principal."""
    return Request("GET", "/", {}, {"x-ms-client-principal": header})


def test_who_is_signed_in_is_read() -> None:
    """The object id is the name in acts; only the app's own roles count."""
    roles = [("roles", "Reader"), ("roles", "Approver"), ("roles", "Owner")]
    found = vouched(ON, asked(principal(OID, ("preferred_username", "m@contoso.com"), *roles)))
    assert found == Principal("6f0c", "m@contoso.com", frozenset({READER, APPROVER}))
    plain = from_easy_auth(asked(principal(OID, ("r", "Admin"), role_typ="r")))
    assert plain == Principal("6f0c", "6f0c", frozenset({ADMIN}))
    assert from_easy_auth(asked(principal(("oid", "7"), ("groups", "Admin")))).roles == frozenset()


@pytest.mark.parametrize(
    ("env", "header", "status", "code"),
    [
        (ON, "", 401, "not-signed-in"),
        (ON, "%%%", 403, "principal-unreadable"),
        (ON, base64.b64encode(b"[]").decode(), 403, "principal-unreadable"),
        (ON, base64.b64encode(b"\xff").decode(), 403, "principal-unreadable"),
        (ON, principal(("roles", "Admin")), 403, "principal-unreadable"),
        (ON, "A" * 70_000, 403, "principal-unreadable"),
        ({}, principal(OID, ("roles", "Admin")), 403, "sign-in-off"),
        ({"REBUILDER_SIGN_IN": "no"}, principal(OID, ("roles", "Admin")), 403, "sign-in-off"),
        (
            {**ON, "WEBSITE_AUTH_ENABLED": "False"},
            principal(OID, ("roles", "Admin")),
            403,
            "sign-in-off",
        ),
    ],
)
def test_a_principal_that_nobody_vouches_for_is_refused(
    env: dict[str, str], header: str, status: int, code: str
) -> None:
    """Forged, missing, or where App Service authentication is off."""
    with pytest.raises(Refusal) as refused:
        vouched(env, asked(header))
    assert (refused.value.status, refused.value.code) == (status, code)
    assert frozenset(Role) == EVERYBODY
