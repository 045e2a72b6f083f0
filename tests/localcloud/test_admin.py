"""The admin API, over HTTP: what it tells, what it changes, whom it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from localcloud.cloud import LocalCloud
from localcloud.state import Registry
from tests import images, patience
from tests.patience import SECONDS, until
from tests.webhook import Webhook


@pytest.fixture(name="admin")
def _admin(still: LocalCloud) -> Iterator[httpx.Client]:
    """A client that finds the API as another program does, by the environment."""
    address = still.environment()["LOCALCLOUD_ADMIN"]
    with patience.client(base_url=address) as client:
        yield client


def test_it_listens_on_this_machine_only(still: LocalCloud) -> None:
    """The address is the loopback's, in plain HTTP."""
    assert still.admin_url.startswith("http://127.0.0.1:")


def test_it_describes_every_switch(admin: httpx.Client) -> None:
    """Each has a meaning, a type, a default and a value; so has everything of a fault."""
    told = admin.get("/").json()
    assert set(told["switches"]) >= {"arm", "limits", "import", "events", "native_trigger"}
    entries = [entry for area in told["switches"].values() for entry in area.values()]
    assert all(entry["meaning"] and entry["type"] for entry in entries)
    assert all(entry["value"] == entry["default"] for entry in entries)
    assert all(entry["meaning"] and entry["type"] for entry in told["fault"].values())
    assert told["switches"]["arm"]["page_size"] == {
        "meaning": "How many items a page of any list holds at most.",
        "type": "a whole number, at least 1",
        "default": 100,
        "value": 100,
    }
    assert told["fault"]["times"]["type"] == "a whole number, at least 0 or null"
    assert "default" not in told["fault"]["status"]


def test_switches_are_changed(
    still: LocalCloud, apps: Registry, arm: httpx.Client, admin: httpx.Client
) -> None:
    """By area, or by one name with a dot; ARM behaves accordingly, and others stay as they are."""
    for number in range(3):
        images.task(apps, f"task{number}", [])
    answer = admin.patch(
        "/switches", json={"arm": {"page_size": 2}, "limits.enabled": True, "limits.read_size": 9}
    )
    assert answer.status_code == 200
    assert answer.json() == admin.get("/switches").json()
    assert answer.json()["arm"]["page_size"] == 2
    assert answer.json()["arm"]["list_has_dependencies"] is True
    page = arm.get(f"{apps.id}/tasks")
    assert len(page.json()["value"]) == 2
    assert page.headers["x-ms-ratelimit-remaining-subscription-reads"] == "8"
    assert still.native_trigger.behaviour.enabled is False


@pytest.mark.parametrize(
    ("body", "field", "allowed"),
    [
        ({"arms": {}}, "arms", "arm, runs, limits, import, events, native_trigger"),
        ({"arms.page_size": 1}, "arms", "arm, runs, limits, import, events, native_trigger"),
        ({"arm": 1}, "arm", "an object"),
        ({"arm": {"pages": 1}}, "arm.pages", "list_has_dependencies, put_keeps_dependencies, "),
        ({"arm.page_size": 0}, "arm.page_size", "a whole number, at least 1"),
        ({"arm.page_size": 1.5}, "arm.page_size", "a whole number, at least 1"),
        ({"arm.page_size": True}, "arm.page_size", "a whole number, at least 1"),
        ({"arm.page_size": None}, "arm.page_size", "a whole number, at least 1"),
        ({"arm.filters_mind_case": 1}, "arm.filters_mind_case", "true or false"),
        ({"arm.tasks_not_allowed": "*"}, "arm.tasks_not_allowed", "a list, each a text"),
        ({"arm.tasks_not_allowed": [1]}, "arm.tasks_not_allowed", "a list, each a text"),
        ({"events.late": "soon"}, "events.late", "a number, at least 0"),
        ({"events.late": -1}, "events.late", "a number, at least 0"),
        ({"limits.read_rate": 0}, "limits.read_rate", "a number, at least 0.01"),
        ([], "", "an object"),
    ],
)
def test_wrong_switches_are_refused(
    admin: httpx.Client, body: object, field: str, allowed: str
) -> None:
    """The error names the switch and what is allowed; the right ones beside it stay, too."""
    before = admin.get("/switches").json()
    given = {"limits.enabled": True, **body} if isinstance(body, dict) else body
    answer = admin.patch("/switches", json=given)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["field"] == field
    assert error["allowed"].startswith(allowed)
    assert error["message"]
    assert admin.get("/switches").json() == before


def test_what_is_no_json_is_refused(admin: httpx.Client) -> None:
    """With the same error as a wrong type."""
    answer = admin.patch("/switches", content=b"page_size=2")
    assert (answer.status_code, answer.json()["error"]["allowed"]) == (400, "an object")


def test_faults_come_and_go(apps: Registry, arm: httpx.Client, admin: httpx.Client) -> None:
    """A fault is added, listed with what is left of it, and taken away."""
    fault = {"method": "GET", "path": "/tasks$", "status": 503, "headers": {"Retry-After": "3"}}
    made = admin.post("/faults", json={**fault, "times": 2})
    assert made.status_code == 201
    answer = arm.get(f"{apps.id}/tasks")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3")
    (listed,) = admin.get("/faults").json()
    assert listed == {**made.json(), "times": 1}
    assert admin.delete("/faults").status_code == 204
    assert admin.get("/faults").json() == []
    assert arm.get(f"{apps.id}/tasks").status_code == 200
    admin.post("/faults", json={"method": "GET", "path": "/tasks$", "status": 0, "times": None})
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            arm.get(f"{apps.id}/tasks")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"method": "get"}, "method"),
        ({"status": "500"}, "status"),
        ({"path": "("}, "path"),
        ({"headers": {"Retry-After": 3}}, "headers"),
        ({"headers": []}, "headers"),
        ({"times": "all"}, "times"),
        ({"when": "now"}, "when"),
    ],
)
def test_wrong_faults_are_refused(
    admin: httpx.Client, change: dict[str, object], field: str
) -> None:
    """The error names the field; no fault is added."""
    fault = {"method": "GET", "path": "/tasks", "status": 500}
    answer = admin.post("/faults", json={**fault, **change})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)
    assert admin.get("/faults").json() == []


@pytest.mark.parametrize("missing", ["method", "path", "status"])
def test_a_fault_needs_to_say_what_fails_and_how(admin: httpx.Client, missing: str) -> None:
    """Method, path and status have no default."""
    fault: dict[str, Any] = {"method": "GET", "path": "/tasks", "status": 500}
    del fault[missing]
    answer = admin.post("/faults", json=fault)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, missing)


def test_reset_makes_a_good_day(
    still: LocalCloud, apps: Registry, arm: httpx.Client, admin: httpx.Client, webhook: Webhook
) -> None:
    """Every switch has its default, no fault is left, buckets are full, held events are let go."""
    good = admin.get("/switches").json()
    still.eventgrid.subscribe(apps, "builds", webhook.url)
    changes = {
        "arm": {"tasks_not_allowed": ["*"], "page_size": 1},
        "limits": {"enabled": True, "read_size": 1},
        "events": {"reverse": 5, "lose": 1},
        "native_trigger": {"enabled": True, "seconds": 60},
        "import": {"sends_events": False},
    }
    admin.patch("/switches", json=changes)
    admin.post("/faults", json={"method": "PUT", "path": "/", "status": 500, "times": None})
    images.push(still, apps, "app", "1", "lost")
    images.push(still, apps, "app", "1", "held")
    arm.get(f"{apps.id}/tasks")
    assert arm.get(f"{apps.id}/tasks").status_code == 429
    assert admin.post("/reset").json() == good == admin.get("/switches").json()
    assert admin.get("/faults").json() == []
    assert still.wait_idle(SECONDS)
    assert len(webhook.calls) == 1
    admin.patch("/switches", json={"limits": changes["limits"]})
    assert arm.get(f"{apps.id}/tasks").status_code == 200


def test_events_that_are_held_are_let_go_by_a_change(
    still: LocalCloud, apps: Registry, admin: httpx.Client, webhook: Webhook
) -> None:
    """As soon as the switches no longer hold them."""
    still.eventgrid.subscribe(apps, "builds", webhook.url)
    admin.patch("/switches", json={"events.shuffle": 3})
    images.push(still, apps, "app", "1", "held")
    assert still.wait_idle(SECONDS)
    assert webhook.calls == []
    admin.patch("/switches", json={"events.shuffle": 1})
    assert len(webhook.wait(1)) == 1


def test_what_arm_was_asked(apps: Registry, arm: httpx.Client, admin: httpx.Client) -> None:
    """Every request, in order, also those that failed."""
    arm.get(f"{apps.id}/tasks")
    arm.delete(f"{apps.id}/tasks/none")
    arm.get("/nothing")
    assert admin.get("/requests").json() == [
        {"method": "GET", "path": f"{apps.id}/tasks"},
        {"method": "DELETE", "path": f"{apps.id}/tasks/none"},
        {"method": "GET", "path": "/nothing"},
    ]


def test_connections_are_cut(
    still: LocalCloud, apps: Registry, arm: httpx.Client, admin: httpx.Client
) -> None:
    """An idle connection of a client is gone; the next request makes a new one."""
    arm.get(f"{apps.id}/tasks")
    assert len(still.network._writers) == 1
    assert admin.post("/connections/drop").status_code == 204
    until(lambda: not still.network._writers)
    assert arm.get(f"{apps.id}/tasks").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "127.0.0.1.attacker.example:80"},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("PATCH", "/switches")])
def test_web_pages_are_refused(
    admin: httpx.Client, headers: dict[str, str], method: str, path: str
) -> None:
    """Neither by a name that leads here nor from another origin; nothing is changed."""
    answer = admin.request(method, path, headers=headers, json={"arm.page_size": 2})
    assert answer.status_code == 403
    assert admin.get("/switches").json()["arm"]["page_size"] == 100


def test_the_machines_own_name_is_let_in(admin: httpx.Client) -> None:
    """`localhost` is the loopback, too."""
    assert admin.get("/switches", headers={"Host": "LOCALHOST:1"}).status_code == 200
