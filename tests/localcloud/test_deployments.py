"""Deployments of a template that Bicep compiled: modules, loops, references, roles, what-if."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from localcloud.cloud import LocalCloud

type Json = dict[str, Any]

_SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
_ROOT = f"/subscriptions/{_SUBSCRIPTION}"
_DEPLOYMENT = f"{_ROOT}/providers/Microsoft.Resources/deployments/main"
_GROUP = f"{_ROOT}/resourceGroups/rg-dev"
_TEMPLATE = json.loads((Path(__file__).parent / "templates" / "sample.json").read_text("utf-8"))


def _body(template: Json = _TEMPLATE, **given: object) -> Json:
    values = {"environmentName": "dev", **given}
    parameters = {name: {"value": value} for name, value in values.items() if value is not None}
    properties = {"mode": "Incremental", "template": template, "parameters": parameters}
    return {"location": "westeurope", "properties": properties}


def _template(*resources: Json, **more: object) -> Json:
    return {"contentVersion": "1.0.0.0", "resources": list(resources), **more}


@pytest.fixture(name="arm")
def _arm(still: LocalCloud) -> Iterator[httpx.Client]:
    still.create_subscription(_SUBSCRIPTION, "Contoso")
    token = still.tokens.issue(still.developer, "https://management.azure.com")
    with _client(still, token) as client:
        yield client


def _client(cloud: LocalCloud, token: str) -> httpx.Client:
    return cloud.network.client(
        base_url="https://management.azure.com",
        headers={"Authorization": f"Bearer {token}"},
        params={"api-version": "2024-11-01"},
    )


def _what_if(arm: httpx.Client, body: Json, path: str = _DEPLOYMENT) -> dict[str, str]:
    answer = arm.post(f"{path}/whatIf", json=body).json()
    return {
        c["resourceId"].rpartition("/")[2]: c["changeType"] for c in answer["properties"]["changes"]
    }


def test_a_template_is_deployed_and_deployed_again(still: LocalCloud, arm: httpx.Client) -> None:
    """What it says is there, by the names that Azure makes; the second time changes nothing."""
    before = _what_if(arm, _body())
    assert before["crsubbxasfc6lu6"] == before["rg-dev"] == before["id-two"] == "Create"
    assert "Unsupported" in before.values()  # the name holds an id that is not there yet
    assert "hidden" not in arm.post(f"{_DEPLOYMENT}/whatIf", json=_body()).text
    assert arm.post(f"{_DEPLOYMENT}/validate", json=_body()).status_code == 200
    assert still.state.registries() == []

    made = arm.put(_DEPLOYMENT, json=_body())

    assert (made.status_code, made.json()["properties"]["provisioningState"]) == (201, "Accepted")
    assert arm.get(made.headers["azure-asyncoperation"]).json() == {"status": "Succeeded"}
    told = arm.get(_DEPLOYMENT).json()["properties"]
    assert told["provisioningState"] == "Succeeded"
    assert told["outputs"]["login"] == {"type": "String", "value": "crsubbxasfc6lu6.azurecr.io"}
    assert [name.rpartition("/")[2] for name in told["outputs"]["ids"]["value"]] == [
        "id-one",
        "id-two",
    ]
    registry = still.state.registries()[0]
    assert registry.tasks["sample"].properties["step"]["contextAccessToken"] == "hidden"
    assignment = next(a for a in still.roles.assignments() if a.scope == registry.id)
    identity = still.state.resource(
        f"{_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-two"
    )
    assert identity is not None
    assert assignment.principal_id == identity.properties["principalId"]
    assert "hidden" not in json.dumps([made.json(), told])

    roles = [a.id for a in still.roles.assignments()]
    assert set(_what_if(arm, _body()).values()) == {"NoChange"}
    assert arm.put(_DEPLOYMENT, json=_body()).status_code == 201
    assert arm.get(_DEPLOYMENT).json()["properties"]["outputs"] == told["outputs"]
    assert [a.id for a in still.roles.assignments()] == roles
    assert set(_what_if(arm, _body()).values()) == {"NoChange"}


def test_what_if_names_what_changes(still: LocalCloud, arm: httpx.Client) -> None:
    """A property that differs is a change with both values; a type that is only kept as well."""
    arm.put(_DEPLOYMENT, json=_body())
    still.state.registries()[0].properties["adminUserEnabled"] = True
    log = "Microsoft.OperationalInsights/workspaces/log-subbxasfc6lu6"
    kept = arm.get(f"{_GROUP}/providers/{log}", params={"api-version": "2023-09-01"}).json()
    assert kept["properties"].pop("customerId")
    assert kept["properties"] == {"retentionInDays": 30, "provisioningState": "Succeeded"}
    assert log in json.dumps(arm.get(f"{_ROOT}/resources").json())

    changed = arm.post(f"{_DEPLOYMENT}/whatIf", json=_body()).json()["properties"]["changes"]

    (one,) = [change for change in changed if change["changeType"] != "NoChange"]
    (delta,) = one["delta"]
    assert delta["path"] == "properties.adminUserEnabled"
    assert (delta["before"], delta["after"]) == (True, False)


def test_the_azure_clis_body_is_no_json(arm: httpx.Client) -> None:
    """It puts a template in as it is, behind a key without quotes."""
    body = _body()
    template = json.dumps(body["properties"].pop("template"))
    text = json.dumps(body)[:-2] + ", template:" + template + "}}"
    headers = {"Content-Type": "application/json"}
    assert arm.put(_DEPLOYMENT, content=text, headers=headers).status_code == 201


def test_deployments_are_shown_listed_and_forgotten(arm: httpx.Client) -> None:
    """With their operations and their template; those of modules are in their group."""
    arm.put(_DEPLOYMENT, json=_body())
    base = _DEPLOYMENT.rpartition("/")[0]
    assert arm.get(_DEPLOYMENT).json()["properties"]["parameters"]["secret"] == {
        "type": "Securestring"
    }
    assert arm.head(_DEPLOYMENT).status_code == 204
    assert [d["name"] for d in arm.get(base).json()["value"]] == ["main"]
    inner = arm.get(f"{_GROUP}/providers/Microsoft.Resources/deployments").json()["value"]
    assert {d["name"] for d in inner} == {"inner", "access"}
    operations = arm.get(f"{_DEPLOYMENT}/operations").json()["value"]
    assert {o["properties"]["provisioningState"] for o in operations} == {"Succeeded"}
    one = operations[0]
    assert arm.get(f"{_DEPLOYMENT}/operations/{one['operationId']}").json() == one
    assert arm.get(f"{_DEPLOYMENT}/operations/none").status_code == 404
    assert arm.post(f"{_DEPLOYMENT}/exportTemplate").json() == {"template": _TEMPLATE}
    assert arm.delete(_DEPLOYMENT).status_code == 204
    assert arm.delete(_DEPLOYMENT).status_code == 204
    assert arm.get(_DEPLOYMENT).json()["error"]["code"] == "DeploymentNotFound"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (_body(environmentName=None), "template parameter 'environmentName' at line"),
        (_body(environmentName="test"), "The value 'test' is not part of the allowed value(s)"),
        (_body(strange=1), "The template parameters 'strange' in the parameters file"),
        (_body(names="one"), "Expected a value of type 'array'"),
        (_body(names=[1]), "template parameter 'names[0]' is not valid"),
    ],
)
def test_wrong_parameters_are_refused(arm: httpx.Client, body: Json, words: str) -> None:
    """ARM's words name the parameter, for validate and for the deployment itself."""
    for answer in (arm.post(f"{_DEPLOYMENT}/validate", json=body), arm.put(_DEPLOYMENT, json=body)):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "InvalidTemplate")
        assert words in error["message"]


def test_a_failed_resource_fails_the_deployment(arm: httpx.Client) -> None:
    """What does not need it is deployed; operations and status tell why, as ARM does later."""
    arm.put(_GROUP, json={"location": "westeurope"})
    path = f"{_GROUP}/providers/Microsoft.Resources/deployments/bad"
    bad: Json = {
        "type": "Microsoft.ContainerRegistry/registries",
        "apiVersion": "2025-11-01",
        "name": "no",
        "location": "westeurope",
        "sku": {"name": "Premium"},
    }
    needs: Json = {
        "type": "Microsoft.Insights/actionGroups",
        "apiVersion": "2023-01-01",
        "name": "needs",
        "dependsOn": ["[resourceId('Microsoft.ContainerRegistry/registries', 'no')]"],
    }
    free = {**needs, "name": "free", "dependsOn": []}
    body = {"properties": {"mode": "Incremental", "template": _template(needs, bad, free)}}

    answer = arm.put(path, json=body)

    assert answer.json()["properties"]["provisioningState"] == "Accepted"
    status = arm.get(answer.headers["Azure-AsyncOperation"]).json()
    assert (status["status"], status["error"]["code"]) == ("Failed", "DeploymentFailed")
    assert [detail["code"] for detail in status["error"]["details"]] == ["InvalidResourceName"]
    groups = f"{_GROUP}/providers/Microsoft.Insights/actionGroups"
    assert arm.get(f"{groups}/free").status_code == 200
    assert arm.get(f"{groups}/needs").status_code == 404
    assert arm.delete(f"{groups}/free").status_code == 200
    assert arm.get(f"{groups}/free").status_code == 404


def test_who_deploys_needs_every_action(still: LocalCloud, arm: httpx.Client) -> None:
    """A role for deployments alone creates nothing: each resource asks for its own action."""
    arm.put(_GROUP, json={"location": "westeurope"})
    who = still.directory.create("deployer")
    still.roles.assign("Container Registry Tasks Contributor", who.object_id, _ROOT)
    resource: Json = {"type": "Microsoft.Insights/actionGroups", "apiVersion": "1", "name": "a"}
    body = {"properties": {"mode": "Incremental", "template": _template(resource)}}
    path = f"{_GROUP}/providers/Microsoft.Resources/deployments/mine"
    with _client(still, still.tokens.issue(who, "https://management.azure.com")) as client:
        refused = client.post(f"{path}/validate", json=body)
        assert refused.json()["error"]["code"] == "AuthorizationFailed"
        assert "Microsoft.Insights/actionGroups/write" in refused.json()["error"]["message"]
        status = client.get(client.put(path, json=body).headers["Azure-AsyncOperation"]).json()
    assert status["error"]["details"][0]["code"] == "AuthorizationFailed"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (_template(outputs={"a": {"type": "string", "value": "[parameters('x')]"}}), "'x'"),
        (_template({"type": "A.B/c", "apiVersion": "1", "name": "[nope()]"}), "'nope'"),
        (_template({"type": "A.B/c", "apiVersion": "1", "name": "a/b"}), "segment lengths"),
        (
            _template(
                {"type": "A.B/c", "apiVersion": "1", "name": "x", "dependsOn": ["y"]},
                {"type": "A.B/c", "apiVersion": "1", "name": "y", "dependsOn": ["x"]},
            ),
            "Circular dependency",
        ),
    ],
)
def test_a_template_that_cannot_be_evaluated_is_refused(
    arm: httpx.Client, template: Json, words: str
) -> None:
    """The words name what is wrong."""
    body = {"location": "westeurope", "properties": {"mode": "Incremental", "template": template}}
    answer = arm.post(f"{_DEPLOYMENT}/validate", json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
