"""Microsoft Graph: what `az role assignment create --assignee` asks of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from localcloud.cloud import LocalCloud
from localcloud.directory import Principal

GRAPH = "https://graph.microsoft.com"


@pytest.fixture(name="graph")
def _graph(still: LocalCloud) -> Iterator[httpx.Client]:
    token = still.tokens.issue(still.developer, f"{GRAPH}/")
    headers = {"Authorization": f"Bearer {token}"}
    with still.network.client(base_url=f"{GRAPH}/v1.0/", headers=headers) as client:
        yield client


@pytest.fixture(name="task")
def _task(still: LocalCloud) -> Principal:
    """The identity of a task."""
    return still.directory.create("myapps/tasks/one", "/subscriptions/1/tasks/One")


def ids(answer: httpx.Response) -> list[str]:
    """Return the object ids of a list."""
    assert answer.status_code == 200, answer.text
    return [entry["id"] for entry in answer.json()["value"]]


def test_service_principals_are_found_by_what_names_them(
    graph: httpx.Client, task: Principal
) -> None:
    """By client id, by resource id, by display name, in any case; not by what names nobody."""
    for text in (
        f"servicePrincipalNames/any(c:c eq '{task.client_id}')",
        f"servicePrincipalNames/any(c:c eq '{task.resource_id.lower()}')",
        f"appId eq '{task.client_id.upper()}'",
        "displayName eq 'MyApps/tasks/one'",
    ):
        assert ids(graph.get("servicePrincipals", params={"$filter": text})) == [task.object_id]
    unknown = f"servicePrincipalNames/any(c:c eq '{task.object_id}')"
    assert ids(graph.get("servicePrincipals", params={"$filter": unknown})) == []
    assert (
        ids(graph.get("users", params={"$filter": "userPrincipalName eq 'myapps/tasks/one'"})) == []
    )


def test_people_are_apart_from_service_principals(still: LocalCloud, graph: httpx.Client) -> None:
    """A person is found by sign-in name among the users, and has no application."""
    ada = still.directory.create("ada@contoso.com", kind="User")
    text = "userPrincipalName eq 'Ada@contoso.com'"
    found = graph.get("users", params={"$filter": text}).json()["value"]

    assert [user["id"] for user in found] == [ada.object_id]
    assert found[0]["userPrincipalName"] == "ada@contoso.com"
    assert ada.object_id not in ids(graph.get("servicePrincipals"))


def test_objects_are_found_by_id(graph: httpx.Client, task: Principal) -> None:
    """One or many, in any case; unknown ones are left out of a list and not found alone."""
    asked = [task.object_id.upper(), "00000000-0000-4000-8000-000000000000"]
    listed = graph.post("directoryObjects/getByIds", json={"ids": asked})
    one = graph.get(f"directoryObjects/{task.object_id}").json()
    missing = graph.get(f"servicePrincipals/{asked[1]}")

    assert ids(listed) == [task.object_id]
    assert one["@odata.type"] == "#microsoft.graph.servicePrincipal"
    assert one["appId"] == task.client_id
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "Request_ResourceNotFound"


def test_graph_wants_a_token_of_its_own(still: LocalCloud, graph: httpx.Client) -> None:
    """None, ARM's, an expired one and garbage are refused on every address, with the reason."""
    arms = still.tokens.issue(still.developer, "https://management.azure.com")
    expired = still.tokens.issue(still.developer, GRAPH, timedelta(0))
    told = [
        ("", "Access token is empty."),
        ("Bearer garbage", "Access token validation failure."),
        (f"Bearer {arms}", "Access token validation failure. Invalid audience."),
        (f"Bearer {expired}", "Lifetime validation failed, the token is expired."),
    ]
    for header, message in told:
        for method, path in (
            ("GET", "users"),
            ("POST", "directoryObjects/getByIds"),
            ("GET", "directoryObjects/1"),
        ):
            answer = graph.request(method, path, headers={"Authorization": header})
            assert answer.status_code == 401
            assert answer.json()["error"] == {
                "code": "InvalidAuthenticationToken",
                "message": message,
            }


def test_other_filters_are_refused(graph: httpx.Client) -> None:
    """What is not imitated is an error, not an empty list."""
    answer = graph.get("users", params={"$filter": "startswith(displayName,'a')"})

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "Request_UnsupportedQuery"


def test_an_app_is_registered_and_vouched_for(graph: httpx.Client) -> None:
    """It is found by its client id and its name; what is not said in a PATCH stays."""
    app = graph.post("applications", json={"displayName": "Page"}).json()
    place = f"applications/{app['id']}"
    uris = {"identifierUris": [f"api://{app['appId']}"]}
    assert graph.patch(place, json=uris).status_code == 204
    assert graph.patch(place, json={"web": {"redirectUris": ["https://a"]}}).status_code == 204
    for text in (
        f"appId eq '{app['appId']}'",
        "startswith(displayName,'Pa')",
        f"identifierUris/any(s:s eq 'api://{app['appId']}')",
    ):
        assert ids(graph.get("applications", params={"$filter": text})) == [app["id"]]
    assert graph.get(place).json() == app | uris | {"web": {"redirectUris": ["https://a"]}}
    principal = graph.post("servicePrincipals", json={"appId": app["appId"]}).json()
    named = f"servicePrincipalNames/any(c:c eq '{app['appId']}')"
    assert ids(graph.get("servicePrincipals", params={"$filter": named})) == [principal["id"]]
    change = graph.patch(f"servicePrincipals/{principal['id']}", json={"notes": "ours"})
    assert change.status_code == 204
    assert graph.get(f"servicePrincipals/{principal['id']}").json()["notes"] == "ours"
    said = {"name": "page", "issuer": "https://i", "subject": "s", "audiences": ["a"]}
    vouched = graph.post(f"{place}/federatedIdentityCredentials", json=said)
    assert vouched.status_code == 201
    listed = graph.get(f"{place}/federatedIdentityCredentials").json()["value"]
    assert [entry["subject"] for entry in listed] == ["s"]
    for again in (said, said | {"name": "another"}):
        answer = graph.post(f"{place}/federatedIdentityCredentials", json=again)
        assert answer.status_code == 409


ROLE = {"id": "2e46b2ce-fa63-58e3-bc53-274a6d6838cd", "displayName": "A", "description": "B"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "applications", {}, 400, "A value is required for property 'displayName'"),
        ("PATCH", "applications/APP", {"identifierUris": ["https://x"]}, 400, "verified domain"),
        ("PATCH", "applications/APP", {"appRoles": [ROLE]}, 400, "properties of an app role"),
        ("PATCH", "applications/APP", {"appRoles": [ROLE | {"value": "A"}] * 2}, 400, "the same"),
        ("PATCH", "applications/none", {}, 404, "does not exist"),
        ("PATCH", "servicePrincipals/none", {}, 404, "does not exist"),
        ("POST", "servicePrincipals", {"appId": "none"}, 400, "does not reference a valid"),
        ("POST", "applications/APP/federatedIdentityCredentials", {"name": "x"}, 400, "issuer"),
        ("GET", "applications?$filter=notes eq 'x'", None, 400, "Unsupported filter"),
    ],
)
def test_what_graph_refuses(
    graph: httpx.Client, method: str, path: str, body: object, status: int, said: str
) -> None:
    """In its words, with its codes."""
    app = graph.post("applications", json={"displayName": "Page"}).json()
    answer = graph.request(method, path.replace("APP", app["id"]), json=body)

    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


def test_an_app_has_one_service_principal(graph: httpx.Client) -> None:
    """The second is refused."""
    app = graph.post("applications", json={"displayName": "Page"}).json()
    asked = {"appId": app["appId"]}
    assert graph.post("servicePrincipals", json=asked).status_code == 201
    assert graph.post("servicePrincipals", json=asked).status_code == 409


def test_registrations_want_a_token(still: LocalCloud) -> None:
    """As everything of Graph does."""
    with still.network.client(base_url=f"{GRAPH}/v1.0/") as client:
        assert client.post("applications", json={"displayName": "Page"}).status_code == 401
