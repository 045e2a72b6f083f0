"""The API on a store with a story: what is answered, and that openapi.json says so."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from copy import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import jsonschema
import pytest

from rebuilder.core.policies.acts import Act
from rebuilder.errors import Denied
from rebuilder.ports.steering import Steering
from rebuilder.usecases.steering.in_force import Known
from rebuilder.web import openapi
from rebuilder.web.endpoints import ENDPOINTS, Endpoint
from tests.browser.story import JAVA, NGINX, NODE, SERVICE, digest
from tests.unit.web.conftest import Browser
from tools import manual

ASKED: dict[str, list[dict[str, str]]] = {
    "me": [{}],
    "changes": [{}],
    "now": [{}],
    "tasks": [{}, {"limit": "5"}, {"q": "shop node"}, {"standing": "waiting,building"}],
    "task": [{"name": "contosoapps/accounts-api"}, {"name": "contosoedge/firmware-pack"}],
    "pushes": [{}, {"day": "2020-01-01"}],
    "push": [{}],
    "graph": [{"focus": NODE, "depth": "4"}, {"focus": "contosoapps/shop-web"}],
    "policies": [{}],
    "policy_of": [{"name": "contosoapps/shop-web"}],
    "report": [{}, {"days": "30", "objective": "60"}],
    "health": [{}],
    "acts": [{}, {"limit": "2"}],
}
SENT: dict[str, list[dict[str, Any]]] = {
    "act": [{"what": "pause", "because": "a test"}],
    "policy_try": [
        {"text": "version: 1\n", "task": "contosoapps/shop-web"},
        {"text": "version: x"},
    ],
}


def validator(endpoint: Endpoint) -> Any:  # noqa: ANN401 - of a package without types
    """Return what holds answers to the description."""
    document = json.loads(manual.API.read_text("utf-8"))
    operation = document["paths"][endpoint.path][endpoint.method.lower()]
    content = operation["responses"][str(int(endpoint.status))]["content"]
    schema = {**content["application/json"]["schema"], "components": document["components"]}
    return jsonschema.Draft202012Validator(schema)


def push_of(browser: Browser, image: str) -> str:
    """Return the key of the newest push of an image."""
    name = image.partition("/")[2]
    found = browser.get("/api/now")["pushes"]
    return str(next(push["key"] for push in found if push["image"].endswith(name)))


def test_the_description_is_of_now() -> None:
    """openapi.json is what the endpoints are; `make docs` writes it."""
    assert manual.API.read_text("utf-8") == manual.api()
    assert set(openapi.document()["paths"]) == {e.path for e in ENDPOINTS}


# What asks ARM, the log of a run, is answered in test_command.py.
@pytest.mark.parametrize(
    "endpoint",
    [endpoint for endpoint in ENDPOINTS if endpoint.name != "log"],
    ids=lambda endpoint: endpoint.name,
)
def test_each_answer_is_as_described(
    endpoint: Endpoint, browser: Browser, acts: Callable[[], list[Act]]
) -> None:
    """Every endpoint's answers fit its schema, which lets no other field through."""
    check = validator(endpoint)
    queries = ASKED.get(endpoint.name, [{}])
    if endpoint.name == "push":
        queries = [{"key": push_of(browser, SERVICE)}, {"key": push_of(browser, NGINX)}]
    answers = [browser.ask("GET", endpoint.path, query) for query in queries]
    if endpoint.method == "POST":
        answers = [browser.ask("POST", endpoint.path, {}, body) for body in SENT[endpoint.name]]
    for answer in answers:
        assert answer.status == endpoint.status, answer.body
        check.validate(json.loads(answer.body))
    acts()


def test_now_tells_what_waits_by_the_reason(browser: Browser) -> None:
    """A rebuild with two reasons stands under both; each says what ends it."""
    now = browser.get("/api/now")
    found = {group["code"]: group for group in now["waiting"]}

    assert {code: group["count"] for code, group in found.items()} == {
        "outside-window": 4,
        "cooling-down": 3,
        "needs-approval": 2,
        "paused": 1,
        "quarantined": 1,
    }
    assert now["counts"] == {
        "building": 2,
        "waiting": 8,
        "retrying": 1,
        "deadLetters": 1,
        "pushes": len(now["pushes"]),
    }
    assert found["paused"]["next"] is None
    assert found["outside-window"]["next"] is not None
    assert found["quarantined"]["rebuilds"][0]["waits"][0]["target"] == (
        f"--digest {JAVA}@{digest(JAVA, 7)}"
    )
    assert all(why["ender"] for g in now["waiting"] for r in g["rebuilds"] for why in r["waits"])


def test_each_task_has_its_standing(browser: Browser) -> None:
    """What is behind does not look well, and what nobody knows does not either."""
    found = {row["task"]["name"]: row["standing"] for row in browser.get("/api/tasks")["tasks"]}

    assert found["contosoapps/orders-api"] == "current"
    assert found["contosoapps/accounts-api"] == "failed"
    assert found["contosoapps/mail-render"] == "retrying"
    assert found["contosoapps/mail-send"] == "building"
    assert found["contosoapps/shop-web"] == "waiting"
    assert found["contosoapps/docs-site"] == "stale"
    assert found["contosoedge/edge-proxy"] == "stale"
    assert found["contosoedge/firmware-pack"] == "unknown"


def names(page: dict[str, Any]) -> list[str]:
    """Return the names of the tasks of a page."""
    return [row["task"]["name"] for row in page["tasks"]]


def test_pages_hold_each_task_once(browser: Browser) -> None:
    """Over the registries, page by page, whatever the size of a page."""
    whole = names(browser.get("/api/tasks"))
    found: list[str] = []
    after = ""
    while True:
        page = browser.get("/api/tasks", limit="3", **({"after": after} if after else {}))
        found += names(page)
        after = page["next"]
        if not after:
            break

    assert len(whole) == 27
    assert found == whole


def test_filters_narrow_the_tasks(browser: Browser) -> None:
    """By words, registry, base and standing, and by several at once."""
    assert names(browser.get("/api/tasks", q="shop node-service")) == [
        f"contosoapps/shop-{name}" for name in ("cart", "reviews", "search")
    ]
    assert len(names(browser.get("/api/tasks", registry="contosoedge"))) == 4
    on_nginx = names(browser.get("/api/tasks", base=NGINX))
    assert on_nginx == [
        "contosoedge/edge-proxy",
        *(f"contosoapps/{name}" for name in ("docs-site", "gateway", "shop-images")),
    ]
    assert names(browser.get("/api/tasks", base=NGINX, standing="waiting")) == [
        "contosoapps/gateway"
    ]
    two = browser.get("/api/tasks", base=NGINX, limit="2")
    assert (
        names(browser.get("/api/tasks", base=NGINX, limit="2", after=two["next"])) == on_nginx[2:]
    )
    assert names(browser.get("/api/tasks", standing="building")) == [
        "contosoplatform/python-job",
        "contosoapps/mail-send",
    ]
    assert names(browser.get("/api/tasks", standing="failed")) == ["contosoapps/accounts-api"]


def test_a_task_tells_all_of_it(browser: Browser) -> None:
    """Its sources, its attempts, what it lacks; older attempts come by their sequence."""
    found = browser.get("/api/task", name="contosoapps/accounts-api")

    assert [attempt["state"] for attempt in found["attempts"]][:2] == ["given up", "succeeded"]
    assert "ETARGET" in found["attempts"][0]["log"]
    assert {source["source"] for source in found["sources"]} == {"ACR's record", "build file"}
    older = browser.get("/api/task", name="contosoapps/accounts-api", before="3")
    assert [attempt["sequence"] for attempt in older["attempts"]] == [2, 1]
    assert older["row"]["last"]["sequence"] == 7
    firmware = browser.get("/api/task", name="contosoedge/firmware-pack")
    assert "git.contoso.internal" in next(s["problem"] for s in firmware["sources"] if s["problem"])


def test_a_push_tells_what_came_of_it(browser: Browser) -> None:
    """Of each task: rebuilt, waiting, left alone; and the pushes of the tag before."""
    nginx = browser.get("/api/push", key=push_of(browser, NGINX))

    assert nginx["counts"] == {"left alone": 1, "rebuilt": 2, "waiting": 1}
    assert nginx["reference"] == NGINX
    assert len(nginx["earlier"]) == 6
    old = browser.get("/api/push", key=nginx["earlier"][0]["key"])
    assert set(old["counts"]) <= {"rebuilt", "overtaken", "left alone"}


def test_the_graph_goes_both_ways(browser: Browser) -> None:
    """From an image down to what stands on what stands on it; from a task up to its base."""
    down = browser.get("/api/graph", focus=NODE, depth="3")
    labels = {node["label"] for node in down["nodes"]}
    assert {NODE, "contosoplatform/node-service", SERVICE, "contosoapps/shop-cart"} <= labels
    assert {edge["kind"] for edge in down["edges"]} == {"runtime", "makes"}
    up = browser.get("/api/graph", focus="contosoapps/shop-cart", depth="3")
    assert {SERVICE, "contosoplatform/node-service", NODE} <= {n["label"] for n in up["nodes"]}
    near = browser.get("/api/graph", focus=NODE, depth="0")
    assert len(near["nodes"]) == 1
    assert not near["cut"]


def test_the_graph_is_cut_where_it_is_too_large(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so."""
    monkeypatch.setattr("rebuilder.usecases.views.graph.MOST", 5)
    found = browser.get("/api/graph", focus=NODE, depth="4")
    assert len(found["nodes"]) == 5
    assert found["cut"]


def test_policies_tell_what_applies_and_since_when(browser: Browser) -> None:
    """The windows of the week, the freezes to come, and which rule set each value."""
    found = browser.get("/api/policies")
    production = next(p for p in found["policies"] if p["name"] == "production")
    assert [version["number"] for version in found["versions"]] == [2, 1]
    assert len(production["open"]) == 168
    assert sum(production["open"]) == 28
    assert found["problem"] == ""
    shop = browser.get("/api/policies/task", name="contosoapps/shop-web")["applies"][0]
    cooldown = next(value for value in shop["values"] if value["name"] == "cooldown")
    assert cooldown["value"] == "2h"
    assert "policy production" in cooldown["sources"][0]


def test_a_file_is_tried_out(browser: Browser) -> None:
    """Its faults are told by line and column; what it would change is told beside what is."""
    broken = browser.ask("POST", "/api/policies/try", {}, {"text": "version: 1\npolices: {}\n"})
    assert json.loads(broken.body)["faults"][0]["line"] == 2
    text = "version: 1\npolicies:\n  default: {cooldown: 3h}\n"
    tried = browser.ask(
        "POST", "/api/policies/try", {}, {"text": text, "task": "contosoapps/shop-web"}
    )
    found = json.loads(tried.body)

    def cooldown(side: str) -> str:
        values = found[side]["applies"][0]["values"]
        return str(next(value["value"] for value in values if value["name"] == "cooldown"))

    assert (cooldown("before"), cooldown("after")) == ("2h", "3h")


def test_health_tells_what_mends_it(browser: Browser) -> None:
    """The index that is old, the dead letter with what it is about."""
    found = browser.get("/api/health")
    assert {finding["code"] for finding in found["findings"]} == {"index-old", "dead-letters-wait"}
    assert all(finding["commands"] for finding in found["findings"])
    assert found["letterCount"] == 1
    assert "images/dotnet" in found["letters"][0]["push"]
    assert {index["registry"]: index["old"] for index in found["indexes"]} == {
        "contosoapps": False,
        "contosoplatform": False,
        "contosoedge": True,
    }


def test_acts_are_told_newest_first(browser: Browser) -> None:
    """Page by page."""
    first = browser.get("/api/acts", limit="4")
    rest = browser.get("/api/acts", limit="4", after=first["next"])
    assert [act["what"] for act in (*first["acts"], *rest["acts"])] == [
        *("approve", "quarantine", "pause", "apply", "resume", "pause", "apply"),
    ]
    assert rest["next"] == ""


def test_a_report_is_worked_out_once_a_minute(browser: Browser) -> None:
    """And tells the longest first, of what is behind."""
    first = browser.get("/api/report", days="7")
    again = browser.get("/api/report", days="7")
    assert first["now"] == again["now"]
    hours = [spell["hours"] for spell in first["behind"] if spell["hours"] is not None]
    assert hours == sorted(hours, reverse=True)
    assert sum(first["all"]["counts"].values()) == first["all"]["spells"]


def test_changes_are_told_once(browser: Browser, acts: Callable[[], list[Act]]) -> None:
    """304 while nothing has changed."""
    state = browser.get("/api/changes")["state"]
    assert browser.ask("GET", "/api/changes", {"since": state}).status == 304
    assert browser.ask("GET", "/api/changes", {"since": "other"}).status == 200
    acts()


def test_what_is_as_it_was_is_not_sent_again(browser: Browser) -> None:
    """By the ETag of the answer before."""
    first = browser.ask("GET", "/api/tasks")
    again = browser.ask("GET", "/api/tasks", if_none_match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


def test_what_is_large_is_packed(browser: Browser) -> None:
    """Where the browser takes it; it is the same, and is not sent again either."""
    plain = browser.ask("GET", "/api/tasks")
    packed = browser.ask("GET", "/api/tasks", accept_encoding="gzip, br")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 4
    assert packed.headers["ETag"] != plain.headers["ETag"]
    etag = packed.headers["ETag"]
    again = browser.ask("GET", "/api/tasks", accept_encoding="gzip", if_none_match=etag)
    assert again.status == 304
    small = browser.ask("GET", "/api/me", accept_encoding="gzip")
    assert "Content-Encoding" not in small.headers


WRONG = [
    ("/api/task", {}, 400, "parameter-missing"),
    ("/api/task", {"name": "nobody/none"}, 404, "not-found"),
    ("/api/task", {"name": "contosoapps/none"}, 404, "not-found"),
    ("/api/task", {"name": "contosoapps/../x"}, 404, "not-found"),
    ("/api/task", {"name": "contosoapps/shop-web", "before": "x"}, 400, "parameter-wrong"),
    ("/api/tasks", {"limit": "0"}, 400, "parameter-wrong"),
    ("/api/tasks", {"limit": "9" * 5000}, 400, "parameter-wrong"),
    ("/api/tasks", {"after": "nobody x"}, 404, "not-found"),
    ("/api/tasks", {"base": "???"}, 404, "not-found"),
    ("/api/tasks", {"base": NODE, "after": "x"}, 404, "not-found"),
    ("/api/tasks", {"token": "x"}, 400, "parameter-unknown"),
    ("/api/pushes", {"day": "yesterday"}, 404, "not-found"),
    ("/api/pushes", {"after": "-1"}, 404, "not-found"),
    ("/api/push", {"key": "x"}, 404, "not-found"),
    ("/api/push", {"key": f"docker.io|library/x|1|sha256:{'a' * 64}"}, 404, "not-found"),
    ("/api/graph", {"focus": "A B"}, 404, "not-found"),
    ("/api/policies/task", {"name": "contosoapps/none"}, 404, "not-found"),
    ("/api/none", {}, 404, "not-found"),
    ("/none.js", {}, 404, "not-found"),
    ("/vendor/../app.py", {}, 404, "not-found"),
]


@pytest.mark.parametrize(("path", "query", "status", "code"), WRONG, ids=lambda v: str(v)[:40])
def test_what_is_asked_wrongly_is_told(
    path: str, query: dict[str, str], status: int, code: str, browser: Browser
) -> None:
    """With a code and a sentence, and never with a traceback."""
    found = browser.ask("GET", path, query)
    told = json.loads(found.body)
    assert (found.status, told["code"]) == (status, code), urlencode(query)[:80]
    assert told["problem"]
    jsonschema.validate(told, openapi.document()["components"]["schemas"]["Problem"])


class _Locked:
    """What operators decided; the policy file may not be read."""

    def __init__(self, steering: object) -> None:
        self._steering = steering

    def policy(self) -> None:
        """Refuse it."""
        raise Denied("no role on the container")

    token = policy

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else is asked for
        return getattr(self._steering, name)


def test_policies_that_may_not_be_read_are_told(browser: Browser) -> None:
    """It is the app that may not, so whoever asks is not refused; the rest of the page works."""
    context = replace(
        browser.context,
        steering=cast("Steering", _Locked(browser.context.steering)),
        in_force=Known(),
    )
    locked = Browser(context)
    assert "it cannot be read here: " in locked.get("/api/policies")["problem"]
    answer = locked.ask("GET", "/api/policies/task", {"name": "contosoapps/shop-web"})
    told = json.loads(answer.body)
    assert (answer.status, told["code"]) == (503, "not-readable")
    assert "no role on the container" in told["problem"]
    assert locked.get("/api/tasks")["tasks"]


def test_the_page_is_there_under_every_address(browser: Browser) -> None:
    """A link into it works; what it loads is packed where the browser takes it."""
    page = browser.ask("GET", "/tasks")
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.body == browser.ask("GET", "/").body
    plain = browser.ask("GET", "/app.js")
    packed = browser.ask("GET", "/app.js", accept_encoding="gzip, br")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.body) < len(plain.body)
    again = browser.ask("GET", "/app.js", if_none_match=plain.headers["ETag"])
    assert again.status == 304
    assert Path(manual.API).name == "openapi.json"
    assert browser.ask("GET", "/openapi.json").body == manual.API.read_bytes()
