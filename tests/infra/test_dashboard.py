"""The operators' page as infra/ deploys it: who is let in, and all that it may."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from localcloud.cloud import LocalCloud
from localcloud.directory import Principal
from rebuilder.web.endpoints import ENDPOINTS
from rebuilder.web.principals import Role
from tests.infra.deployed import SUBSCRIPTION, Deployed, published
from tests.infra.templates import predicted, read
from tests.patience import until

CLIENT = "33333333-3333-4333-8333-333333333333"
TASK = "myappregistry/app"
_HOUR = timedelta(hours=1)


class Page:
    """The page of a deployed product, asked as somebody."""

    def __init__(self, deployed: Deployed) -> None:
        self.deployed = deployed
        self.cloud = deployed.cloud
        group = deployed.outputs["AZURE_RESOURCE_GROUP"]
        self.site = (
            f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Web/sites/"
            + deployed.outputs["DASHBOARD_APP_NAME"]
        )
        deployed.publish(self.site)
        found = self.cloud.directory.by_object_id(deployed.outputs["DASHBOARD_PRINCIPAL_ID"])
        assert found is not None
        self.identity: Principal = found

    def token(self, *roles: Role, audience: str = f"api://{CLIENT}", app: str = CLIENT) -> str:
        """Return what Entra gives somebody who has roles of the app registration."""
        claims = {"aud": audience, "appid": app, "oid": "0" * 8, "name": "Mira"}
        return self.cloud.tokens.sign({**claims, "roles": list(roles)}, _HOUR)

    def ask(
        self, path: str, token: str = "", body: object = None, **headers: str
    ) -> httpx.Response:
        """Ask the page."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given |= {"Authorization": f"Bearer {token}"} if token else {}
        method = "GET" if body is None else "POST"
        url = f"{self.deployed.outputs['DASHBOARD_URL']}{path}"
        with self.cloud.network.client() as http:
            return http.request(method, url, json=body, headers=given)

    def act(self, token: str, **asked: object) -> httpx.Response:
        """Ask for an act."""
        return self.ask("/api/acts", token, asked, X_Rebuilder="1")

    def log(self) -> str:
        """Return what the page's app has logged."""
        return self.cloud.apps.log(self.site)


@pytest.fixture(name="page")
def _page(cloud: LocalCloud, tmp_path: Path) -> Page:
    return Page(published(cloud, tmp_path, dashboard={"clientId": CLIENT}))


def _header(*roles: str) -> str:
    claims = [{"typ": "oid", "val": "x"}, *({"typ": "roles", "val": role} for role in roles)]
    return base64.b64encode(json.dumps({"claims": claims}).encode()).decode()


def _asked(name: str, push: str) -> str:
    needed = {
        "task": f"?name={TASK}",
        "push": f"?key={push}",
        "graph": f"?focus={TASK}",
        "policy_of": f"?name={TASK}",
    }
    return needed.get(name, "")


@pytest.mark.timeout(1800)
def test_the_page_looks_and_asks_with_its_two_roles(page: Page) -> None:
    """Every page answers, an act is carried out by the first app, and a run is not its to start."""
    deployed, cloud = page.deployed, page.cloud
    deployed.push("second")
    deployed.await_rebuild()
    reader, operator = page.token(Role.READER), page.token(Role.READER, Role.OPERATOR)

    who = page.identity.object_id
    main = cloud.state.resource(deployed.outputs["STORAGE_ACCOUNT_RESOURCE_ID"])
    assert main is not None
    mine = [a for a in cloud.roles.assignments() if a.principal_id == who]
    two = {
        a.id
        for a in mine
        if (role := cloud.roles.role(a.role)) is not None
        and role.name in ("Storage Table Data Reader", "Storage Queue Data Message Sender")
    }
    own = {a.id for a in mine if "/storageAccounts/stpage" in a.scope}
    assert (len(two), len(own), len(mine)) == (2, 1, 5)
    # It is left with them, and with what its host keeps in an account of its own.
    for assignment in mine:
        if assignment.id not in two | own:
            cloud.roles.revoke(assignment.id)

    (push,) = page.ask("/api/pushes", reader).json()["pushes"]
    looking = [e for e in ENDPOINTS if e.method == "GET" and e.name != "log"]
    answers = {e.name: page.ask(f"{e.path}{_asked(e.name, push['key'])}", reader) for e in looking}
    # What policies say is in a blob; that it may not be read is told.
    unread = answers.pop("policy_of")
    assert (unread.status_code, unread.json()["code"]) == (503, "not-readable")
    assert "it cannot be read here" in answers["policies"].text
    assert {name: a.status_code for name, a in answers.items()} == dict.fromkeys(answers, 200)
    assert "Succeeded" in answers["task"].text
    for place in ("/", "/tasks", "/waves", "/health"):
        assert "<title>" in page.ask(place, reader, accept="text/html").text

    pause = {"what": "pause", "scope": "task", "pattern": TASK, "because": "a look"}
    assert page.act(reader, **pause).status_code == 403
    taken = page.act(operator, **pause)
    assert taken.status_code == 202, taken.text
    until(lambda: "a look" in page.ask("/api/acts", reader).text)
    until(lambda: "a look" in page.ask("/api/now", reader).text)

    token = cloud.tokens.issue(page.identity, "https://management.azure.com/")
    url = (
        f"https://management.azure.com{deployed.apps.id}/scheduleRun?api-version=2019-06-01-preview"
    )
    body = {"type": "TaskRunRequest", "taskId": f"{deployed.apps.id}/tasks/app"}
    with cloud.network.client() as http:
        refused = http.post(url, json=body, headers={"Authorization": f"Bearer {token}"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "AuthorizationFailed")

    here = [o for o in cloud.storage_operations() if o.account.lower() == main.name.lower()]
    done = {(o.service, o.operation.name) for o in here if o.principal_id == who}
    assert {name for service, name in done if service == "queue"} == {"Put Message"}
    assert {name for service, name in done if service == "table"} <= {
        "Query Entities",
        "Get Entity",
    }


@pytest.mark.timeout(1800)
def test_who_is_let_in(page: Page) -> None:
    """Who is signed in to the app registration; what a header says from outside is nothing."""
    forged = {"X_MS_CLIENT_PRINCIPAL": _header("Admin")}
    assert page.ask("/api/me").status_code == 401
    assert page.ask("/api/me", **forged).status_code == 401
    sent = page.ask("/", accept="text/html")
    assert (sent.status_code, sent.headers["location"]) == (302, "/.auth/login/aad")
    assert page.ask("/api/me", page.token(audience="https://other")).status_code == 401
    assert page.ask("/api/me", page.token(app="44444444")).status_code == 403
    assert page.ask("/api/now", page.token()).status_code == 403

    me: dict[str, Any] = page.ask("/api/me", page.token(Role.READER), **forged).json()
    assert (me["name"], me["roles"]) == ("Mira", ["Reader"])
    foreign = page.ask(
        "/api/acts",
        page.token(Role.OPERATOR),
        {"what": "pause", "because": "x"},
        X_Rebuilder="1",
        Origin="https://evil.example",
    )
    assert foreign.status_code == 403


def test_the_roles_of_the_registration_are_the_pages() -> None:
    """What `az ad app create` is given; each role has an id of its own."""
    given = read("app-roles.json")
    assert {role["value"] for role in given} == set(Role)
    assert len({role["id"] for role in given}) == len(Role)


def test_the_form_of_the_page() -> None:
    """A sign-in stands before the whole app, and nothing of the product is its to change."""
    configs = predicted("dashboard", "Microsoft.Web/sites/config")
    (sign_in,) = [c["properties"] for c in configs if c["name"].endswith("/authsettingsV2")]
    assert sign_in["platform"]["enabled"] is True
    assert sign_in["globalValidation"]["requireAuthentication"] is True
    (settings,) = [c["properties"] for c in configs if "REBUILDER_SIGN_IN" in str(c["properties"])]
    assert "'REBUILDER_APP', 'web'" in settings
    assert "REBUILDER_DESTINATIONS" not in settings
    assert "REBUILDER_SOURCE_CREDENTIALS" not in settings
    accounts = predicted("dashboard", "Microsoft.Storage/storageAccounts")
    assert [a["properties"]["allowSharedKeyAccess"] for a in accounts] == [False, False]
