"""The templates of infra/, deployed on the local cloud with parameters that are in no file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry
from tests.infra.templates import INFRA

SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
GROUP = "registries"
BASE, APPS = "contosobase", "contosoapps"
SEND = "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a"


class Deployer:
    """Deploys templates at the subscription, as the developer does."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.base = self.registry(BASE)
        self.apps = self.registry(APPS)

    def registry(self, name: str, subscription: str = SUBSCRIPTION) -> Registry:
        """Make a registry: what was there before."""
        return self.cloud.create_registry(
            subscription_id=subscription, resource_group=GROUP, name=name, location="westeurope"
        )

    def ask(self, method: str, path: str, body: Json | None = None, version: str = "") -> Any:  # noqa: ANN401 - JSON
        """Ask ARM for something."""
        answer = self.answer(method, path, body, version)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else {}

    def answer(
        self, method: str, path: str, body: Json | None = None, version: str = ""
    ) -> httpx.Response:
        """Return what ARM answers."""
        token = self.cloud.tokens.issue(self.cloud.developer, "https://management.azure.com/")
        with self.cloud.network.client(base_url="https://management.azure.com") as http:
            return http.request(
                method,
                path,
                json=body,
                params={"api-version": version or "2024-11-01"},
                headers={"Authorization": f"Bearer {token}"},
            )

    def body(self, values: Mapping[str, object], template: str = "main") -> Json:
        """Return the request of a deployment."""
        return {
            "location": "westeurope",
            "properties": {
                "mode": "Incremental",
                "template": json.loads((INFRA / f"{template}.json").read_text("utf-8")),
                "parameters": {name: {"value": value} for name, value in values.items()},
            },
        }

    def path(self, name: str) -> str:
        """Return the address of a deployment."""
        place = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Resources/deployments"
        return f"{place}/{name}"

    def deploy(self, values: Mapping[str, object], template: str = "main") -> Json:
        """Deploy; return the outputs' values."""
        name = f"{template}-{values.get('environmentName', '')}"
        told = self.made(name, values, template)
        assert told["provisioningState"] == "Succeeded", json.dumps(told.get("error"))
        outputs: Json = told.get("outputs") or {}
        return {name: output["value"] for name, output in outputs.items()}

    def made(self, name: str, values: Mapping[str, object], template: str = "main") -> Json:
        """Deploy; return what the deployment says of itself when it is over."""
        self.ask("PUT", self.path(name), self.body(values, template))
        told: Json = self.ask("GET", self.path(name))["properties"]
        return told

    def refused(self, values: Mapping[str, object]) -> str:
        """Return why a deployment is refused by the check that comes before it."""
        told = self.answer("POST", f"{self.path('refused')}/validate", self.body(values))
        assert told.status_code == 400, told.text
        return told.text

    def changes(self, values: Mapping[str, object], template: str = "main") -> Json:
        """Return what a deployment would change."""
        told = self.ask("POST", f"{self.path('what')}/whatIf", self.body(values, template))
        changes = told["properties"]["changes"]
        assert len(changes) > 10
        return {c["resourceId"]: c for c in changes if c["changeType"] != "NoChange"}

    def subscribe(self, outputs: Json) -> None:
        """Deploy the event subscriptions that the outputs of main.bicep ask for."""
        given = outputs["EVENT_SUBSCRIPTION_PARAMETERS"]
        self.deploy({name: entry["value"] for name, entry in given.items()}, "event-subscriptions")

    def of(self, kind: str) -> list[Json]:
        """Return every resource of a type."""
        found = self.ask("GET", f"/subscriptions/{SUBSCRIPTION}/resources")["value"]
        return [entry for entry in found if entry["type"].lower() == kind.lower()]


def values(environment: str = "one", **more: object) -> Json:
    """Return parameters: a base registry, a registry with tasks."""
    return {
        "environmentName": environment,
        "location": "westeurope",
        "registries": [
            {"name": BASE, "use": "base", "resourceGroupName": GROUP},
            {"name": APPS, "use": "tasks", "resourceGroupName": GROUP},
        ],
        **more,
    }


@pytest.fixture(name="deployer")
def _deployer(cloud: LocalCloud) -> Deployer:
    return Deployer(cloud)


def test_a_second_environment_uses_the_topics_of_the_first(deployer: Deployer) -> None:
    """Two environments on one base registry: topics that are there are used, nobody's is taken."""
    cloud = deployer.cloud
    first = deployer.deploy(values("one", eventDelivery="queue"))
    push, changes = first["PUSH_TOPICS"][0], first["TASK_TOPICS"][0]
    base: Json = {"name": BASE, "use": "base", "resourceGroupName": GROUP}
    apps: Json = {"name": APPS, "use": "tasks", "resourceGroupName": GROUP}
    second = values(
        "two",
        eventDelivery="queue",
        registries=[
            {**base, "topicName": push["name"]},
            {**apps, "groupTopicName": changes["name"]},
        ],
    )

    outputs = deployer.deploy(second)

    assert outputs["PUSH_TOPICS"] == first["PUSH_TOPICS"]
    topics = cloud.state.resources("Microsoft.EventGrid/systemTopics")
    assert {topic.name for topic in topics} == {push["name"], changes["name"]}
    identities = {topic.more["identity"]["principalId"] for topic in topics}
    for told in (first, outputs):
        account = told["STORAGE_ACCOUNT_RESOURCE_ID"]
        queue = f"{account}/queueServices/default/queues/rebuilder-events"
        given = [a for a in cloud.roles.assignments() if a.scope.lower() == queue.lower()]
        assert {a.principal_id for a in given} == identities
        assert {a.role for a in given} == {SEND}
    alerts = deployer.of("Microsoft.Insights/metricAlerts")
    # Each environment has its own, beside itself: the topics' group is another team's.
    assert len(alerts) == 12
    assert {a["id"].split("/")[4] for a in alerts} == {"rg-one", "rg-two"}
    deployer.subscribe(first)
    deployer.subscribe(outputs)
    names = [s.name for s in cloud.eventgrid.subscriptions(deployer.base)]
    assert len(set(names)) == 2
    assert deployer.changes(second) == {}
    assert deployer.changes(values("one", eventDelivery="queue")) == {}
    # Who does not name the topic that is there is told so.
    taken = json.dumps(deployer.made("taken", values("three")))
    assert "There is an existing tracked system topic" in taken


def test_a_topic_without_an_identity_is_refused(deployer: Deployer) -> None:
    """It could not write dead letters."""
    topic = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers"
    topic += "/Microsoft.EventGrid/systemTopics/theirs"
    kind = "Microsoft.ContainerRegistry.Registries"
    deployer.ask(
        "PUT",
        topic,
        {
            "location": "westeurope",
            "properties": {"source": deployer.base.id, "topicType": kind},
        },
        "2025-02-15",
    )
    given = values()
    given["registries"][0]["topicName"] = "theirs"
    told = json.dumps(deployer.made("refused", given))

    assert "'identity'" in told


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"registries": [{"name": BASE, "use": "base"}]},
            "No registry with tasks: one entry of registries needs the use tasks or both.",
        ),
        (
            {"registries": [{"name": APPS, "use": "tasks"}]},
            "No base registry: one entry of registries needs the use base or both.",
        ),
        (
            {"registries": [{"name": BASE, "use": "both", "resourceGroup": GROUP}]},
            "The property 'resourceGroup' is not allowed.",
        ),
        ({"network": {"addressprefix": "10.0.0.0/24"}}, "'addressprefix' is not allowed"),
        ({"lock": {"kind": "ReadOnly"}}, "not part of the allowed value(s)"),
        ({"appSettings": {"REBUILDER_TRACK_SECOND": "5"}}, "'REBUILDER_TRACK_SECOND' is not allow"),
        ({"appSettings": {"REBUILDER_TASK_REGISTRIES": ""}}, "REGISTRIES' is not allowed"),
        (
            {"platformSettings": {"REBUILDER_X": "1", "AZURE_CLIENT_ID": "x", "OTEL_X": "1"}},
            "these are settings of the product or of the template: AZURE_CLIENT_ID, REBUILDER_X.",
        ),
        ({"names": {"storageaccount": "x"}}, "'storageaccount' is not allowed"),
        ({"budget": {"amount": 50}}, "startDate"),
        ({"siteUpdateStrategy": "Rolling"}, "not part of the allowed value(s)"),
        (
            {"zoneRedundant": True, "storageSkuName": "Standard_GRS"},
            "zoneRedundant: storageSkuName has to be Standard_ZRS or Standard_GZRS",
        ),
        ({"existing": {"vault": "x"}}, "'vault' is not allowed"),
        (
            {
                "privateNetwork": True,
                "registries": [
                    {"name": "newregistry", "use": "both", "create": True, "sku": "Basic"}
                ],
            },
            "Registry newregistry: privateNetwork closes it, and only Premium has private",
        ),
        (
            {
                "alertEmails": ["a@example.com"],
                "existing": {"actionGroupResourceId": "/subscriptions/x"},
            },
            "alertEmails are of the action group that the template makes",
        ),
    ],
)
def test_mistakes_are_refused_before_anything_is_made(
    deployer: Deployer, more: Json, said: str
) -> None:
    """Misspelt properties, settings that nobody knows, and what cannot be."""
    assert said in deployer.refused(values(**more))


def test_secrets_of_settings_are_shown_by_nothing(deployer: Deployer) -> None:
    """A token in appSettings is in no deployment, no nested one, and no prediction."""
    given = values(
        appSettings={"REBUILDER_SOURCE_CREDENTIALS": "tok-en-1"},
        platformSettings={"OTEL_EXPORTER_OTLP_HEADERS": "tok-en-2"},
    )
    predicted = deployer.ask("POST", f"{deployer.path('x')}/whatIf", deployer.body(given))
    outputs = deployer.deploy(given)
    shown = [predicted, deployer.ask("GET", deployer.path("main-one"))]
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{outputs['AZURE_RESOURCE_GROUP']}"
    nested = deployer.ask("GET", f"{group}/providers/Microsoft.Resources/deployments")["value"]
    assert len(nested) > 5

    assert "tok-en" not in json.dumps([shown, nested])
    site = outputs["FUNCTION_APP_RESOURCE_ID"]
    told = deployer.ask("POST", f"{site}/config/appsettings/list", {}, "2025-03-01")
    assert told["properties"]["REBUILDER_SOURCE_CREDENTIALS"] == "tok-en-1"


def test_names_are_those_that_were_asked_for(deployer: Deployer) -> None:
    """Every name may be chosen, as the rules of a company want them."""
    names = {
        "identity": "mi-acr",
        "storageAccount": "stcontosoacr",
        "functionApp": "func-contoso-acr",
        "plan": "plan-acr",
        "workspace": "log-acr",
        "applicationInsights": "ai-acr",
        "virtualNetwork": "net-acr",
        "actionGroup": "people-acr",
        "alertPrefix": "acr-",
    }
    given = values(
        names=names, resourceGroupName="acr", alertEmails=["a@example.com"], privateNetwork=True
    )
    outputs = deployer.deploy(given)

    found = deployer.ask("GET", f"/subscriptions/{SUBSCRIPTION}/resources")["value"]
    mine = [entry for entry in found if "/resourceGroups/acr/" in entry["id"]]
    assert set(names.values()) - {"acr-"} <= {entry["name"] for entry in mine}
    # The token is in what others see of several environments: roles; and a shared group's topic.
    assert not [entry["name"] for entry in mine if "rebuilder-" in entry["name"]]
    assert outputs["VIRTUAL_NETWORK_RESOURCE_ID"].endswith("/virtualNetworks/net-acr")
    assert outputs["APP_SUBNET_RESOURCE_ID"].endswith("/net-acr/subnets/app")
    assert outputs["ENDPOINT_SUBNET_RESOURCE_ID"].endswith("/net-acr/subnets/endpoints")
    assert outputs["WORKSPACE_RESOURCE_ID"].endswith("/workspaces/log-acr")
    assert outputs["APPLICATION_INSIGHTS_RESOURCE_ID"].endswith("/components/ai-acr")
    assert outputs["ACTION_GROUP_RESOURCE_ID"].endswith("/actionGroups/people-acr")
    assert len(outputs["ROLE_DEFINITION_RESOURCE_IDS"]) == 2
    for entry in outputs["ROLE_DEFINITION_RESOURCE_IDS"]:
        assert deployer.ask("GET", entry, version="2022-04-01")["properties"]["roleName"]


def test_the_longest_names(deployer: Deployer) -> None:
    """Registries' names may have 50 characters; what is named after them has no more than fit."""
    long = [f"{letter * 49}{number}" for number in (1, 2) for letter in "ab"]
    for name in long:
        deployer.registry(name)
    given = values(privateNetwork=True, names={"virtualNetwork": "n" * 40})
    given["registries"] = [
        {
            "name": name,
            "use": "both",
            "resourceGroupName": GROUP,
            "privateEndpoint": True,
        }
        for name in long
    ]
    outputs = deployer.deploy(given)

    topics = {topic["name"] for topic in outputs["PUSH_TOPICS"]}
    endpoints = {found["name"] for found in deployer.of("Microsoft.Network/privateEndpoints")}
    assert len(topics) == len(long)
    assert max(map(len, topics)) == 50
    assert len(endpoints) == len(long) + 3
    assert max(map(len, endpoints)) == 64
    assert deployer.changes(given) == {}


def test_what_is_there_is_used(deployer: Deployer) -> None:
    """Identity, workspace, vault, action group, subnets and zones of one's own; none is made."""
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/platform/providers"
    deployer.cloud.create_group(SUBSCRIPTION, "platform", "westeurope")
    identity = f"{group}/Microsoft.ManagedIdentity/userAssignedIdentities/ours"
    workspace = f"{group}/Microsoft.OperationalInsights/workspaces/ours"
    vault = f"{group}/Microsoft.KeyVault/vaults/ours"
    people = f"{group}/Microsoft.Insights/actionGroups/ours"
    subnets = f"{group}/Microsoft.Network/virtualNetworks/ours/subnets"
    zones = f"{group}/Microsoft.Network/privateDnsZones"
    made = deployer.ask("PUT", identity, {"location": "westeurope"}, "2024-11-30")
    principal = made["properties"]["principalId"]
    for place in (workspace, vault, people):
        provider = place.split("/")
        keep = {
            "type": f"{provider[-3]}/{provider[-2]}",
            "apiVersion": "2025-07-01",
            "name": provider[-1],
            "location": "westeurope",
            "properties": {},
        }
        body = {"properties": {"mode": "Incremental", "template": {"resources": [keep]}}}
        path = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/platform/providers"
        deployer.ask("PUT", f"{path}/Microsoft.Resources/deployments/{provider[-2]}", body)
    given = values(
        privateNetwork=True,
        existing={
            "identityResourceId": identity,
            "workspaceResourceId": workspace,
            "keyVaultResourceId": vault,
            "actionGroupResourceId": people,
        },
        network={
            "appSubnetResourceId": f"{subnets}/functions",
            "endpointSubnetResourceId": f"{subnets}/endpoints",
            "privateDnsZoneResourceIds": {
                "blob": f"{zones}/privatelink.blob.core.windows.net",
                "queue": f"{zones}/privatelink.queue.core.windows.net",
                "table": f"{zones}/privatelink.table.core.windows.net",
                "registry": f"{zones}/privatelink.azurecr.io",
                "vault": f"{zones}/privatelink.vaultcore.azure.net",
            },
        },
    )
    given["registries"][0]["privateEndpoint"] = True
    outputs = deployer.deploy(given)

    assert outputs["IDENTITY_RESOURCE_ID"] == identity
    assert outputs["IDENTITY_PRINCIPAL_ID"] == principal
    assert outputs["WORKSPACE_RESOURCE_ID"] == workspace
    assert outputs["ACTION_GROUP_RESOURCE_ID"] == people
    assert outputs["APP_SUBNET_RESOURCE_ID"] == f"{subnets}/functions"
    assert outputs["VIRTUAL_NETWORK_RESOURCE_ID"] == subnets.removesuffix("/subnets")
    for kind in (
        "Microsoft.Network/virtualNetworks",
        "Microsoft.Network/privateDnsZones",
        "Microsoft.Network/networkSecurityGroups",
    ):
        assert deployer.of(kind) == []
    for kind in (
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        "Microsoft.OperationalInsights/workspaces",
        "Microsoft.Insights/actionGroups",
    ):
        assert [entry["name"] for entry in deployer.of(kind)] == ["ours"]
    endpoints = deployer.of("Microsoft.Network/privateEndpoints")
    # Three of storage, the vault's, and the base registry that asked for one.
    assert len(endpoints) == 5
    on_vault = [a for a in deployer.cloud.roles.assignments() if a.scope.lower() == vault.lower()]
    assert [a.principal_id for a in on_vault] == [principal]


def test_the_vault_of_a_closed_product_is_reached_in_its_network(deployer: Deployer) -> None:
    """By an endpoint and a zone of its own; an open product makes neither."""
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers"
    vault = f"{group}/Microsoft.KeyVault/vaults/ours"
    deployer.cloud.vaults.keep(vault, "git", "{}")
    given = values(existing={"keyVaultResourceId": vault})
    deployer.deploy(given)
    assert deployer.of("Microsoft.Network/privateEndpoints") == []
    closed = {**given, "privateNetwork": True}
    deployer.deploy(closed)

    zones = {zone["name"] for zone in deployer.of("Microsoft.Network/privateDnsZones")}
    assert "privatelink.vaultcore.azure.net" in zones
    (endpoint,) = (
        found
        for key, found in deployer.cloud.arm.plain.items()
        if key.endswith("-vault") and "/privateendpoints/" in key
    )
    (connected,) = endpoint["properties"]["privateLinkServiceConnections"]
    assert connected["properties"] == {"groupIds": ["vault"], "privateLinkServiceId": vault}
    assert deployer.changes(closed) == {}


def test_the_page_of_a_closed_product_is_closed(deployer: Deployer) -> None:
    """It, and what its host keeps, are reached by private endpoints; a second time is no change."""
    given = values(privateNetwork=True, dashboard={"clientId": OTHER, "name": "ourpage"})
    outputs = deployer.deploy(given)

    assert outputs["DASHBOARD_URL"] == "https://ourpage.azurewebsites.net"
    endpoints = [v for k, v in deployer.cloud.arm.plain.items() if "/privateendpoints/" in k]
    connected = {
        (c["properties"]["groupIds"][0], c["properties"]["privateLinkServiceId"].split("/")[-1])
        for e in endpoints
        for c in e["properties"].get("privateLinkServiceConnections", ())
    }
    accounts = {entry["name"] for entry in deployer.of("Microsoft.Storage/storageAccounts")}
    (own,) = (name for name in accounts if name.startswith("stpage"))
    (main,) = accounts - {own}
    assert connected == {
        ("sites", "ourpage"),
        ("blob", own),
        *((service, main) for service in ("blob", "queue", "table")),
    }
    place = outputs["FUNCTION_APP_RESOURCE_ID"].rpartition("/")[0]
    site = deployer.ask("GET", f"{place}/ourpage", version="2025-03-01")["properties"]
    assert site["siteConfig"]["ipSecurityRestrictionsDefaultAction"] == "Deny"
    assert site["virtualNetworkSubnetId"] == outputs["APP_SUBNET_RESOURCE_ID"]
    account = deployer.ask(
        "GET",
        f"{place.rpartition('/Microsoft.Web')[0]}/Microsoft.Storage/storageAccounts/{own}",
        version="2025-08-01",
    )
    assert account["properties"]["publicNetworkAccess"] == "Disabled"
    assert deployer.changes(given) == {}


def test_locks_are_on_everything_that_holds_something(deployer: Deployer) -> None:
    """With its name and its reason, as Azure Verified Modules have it; on nothing by default."""
    assert deployer.of("Microsoft.Authorization/locks") == []
    deployer.deploy(values(alertEmails=["a@example.com"], privateNetwork=True))
    assert _locks(deployer) == {}
    lock = {"kind": "CanNotDelete", "name": "keep-", "notes": "ask platform"}
    given = values(alertEmails=["a@example.com"], privateNetwork=True, lock=lock)
    given["registries"].append({"name": "newregistry", "use": "base", "create": True})
    deployer.deploy(given)

    locks = _locks(deployer)
    kinds = {place.rpartition("/providers/")[2].rpartition("/")[0] for place in locks}
    assert kinds == {
        "Microsoft.Storage/storageAccounts",
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        "Microsoft.OperationalInsights/workspaces",
        "Microsoft.Insights/components",
        "Microsoft.Insights/actionGroups",
        "Microsoft.Web/sites",
        "Microsoft.Network/virtualNetworks",
        "Microsoft.EventGrid/systemTopics",
        "Microsoft.ContainerRegistry/registries",
    }
    assert {entry["properties"]["notes"] for entry in locks.values()} == {"ask platform"}
    assert all(entry["name"].startswith("keep-") for entry in locks.values())


def _locks(deployer: Deployer) -> dict[str, Json]:
    word = "/providers/Microsoft.Authorization/locks/"
    found = {
        entry["id"].partition(word)[0]: entry
        for entry in deployer.cloud.arm.plain.values()
        if word in entry["id"]
    }
    assert {entry["properties"]["level"] for entry in found.values()} <= {"CanNotDelete"}
    return found


def test_diagnostic_settings_are_on_what_is_made(deployer: Deployer) -> None:
    """Storage by service, topics, registries that are made, the app; as they are asked for."""
    workspace = f"/subscriptions/{SUBSCRIPTION}/x/workspaces/w"
    setting = {"workspaceResourceId": workspace, "metricCategories": []}
    deployer.deploy(values(diagnosticSettings=[setting, {"name": "b", "logCategoryGroups": []}]))

    word = "/providers/Microsoft.Insights/diagnosticSettings/"
    found = {k: v for k, v in deployer.cloud.arm.plain.items() if word.lower() in k}
    places = {v["id"].partition(word)[0].rpartition("/providers/")[2] for v in found.values()}
    kinds = {"/".join([p.split("/")[0], *p.split("/")[1::2]]) for p in places}
    assert kinds == {
        "Microsoft.Storage/storageAccounts/blobServices",
        "Microsoft.Storage/storageAccounts/queueServices",
        "Microsoft.Storage/storageAccounts/tableServices",
        "Microsoft.EventGrid/systemTopics",
        "Microsoft.Web/sites",
    }
    first = next(v for v in found.values() if v["name"] == "rebuilder")["properties"]
    assert first["workspaceId"] == workspace
    assert first["logs"] == [{"categoryGroup": "allLogs", "enabled": True}]
    assert first["metrics"] == []
    second = next(v for v in found.values() if v["name"] == "b")["properties"]
    assert second["logs"] == []
    assert second["metrics"] == [{"category": "AllMetrics", "enabled": True}]


def test_alerts_are_beside_the_product_where_they_can_be(deployer: Deployer) -> None:
    """Those of a topic in another subscription are beside it: Azure allows nothing else."""
    deployer.registry("otherbase", OTHER)
    given = values()
    given["registries"].append(
        {"name": "otherbase", "use": "base", "resourceGroupName": GROUP, "subscriptionId": OTHER}
    )
    deployer.deploy(given)

    word = "/providers/Microsoft.Insights/metricAlerts/"
    alerts = [v for v in deployer.cloud.arm.plain.values() if word in v["id"]]
    assert len(alerts) == 9
    for alert in alerts:
        (scope,) = alert["properties"]["scopes"]
        assert scope.split("/")[2] == alert["id"].split("/")[2]
        group = GROUP if scope.split("/")[2] == OTHER else "rg-one"
        assert alert["id"].split("/")[4] == group


def test_always_ready_is_given_per_function(deployer: Deployer) -> None:
    """That of events follows how they come; others are named."""
    more = [{"functionName": "plan_rebuilds", "instanceCount": 2}]
    given = values(alwaysReadyInstanceCount=1, alwaysReady=more)
    for delivery, function in (("webhook", "image_pushed"), ("queue", "event_queued")):
        outputs = deployer.deploy({**given, "eventDelivery": delivery})
        site = deployer.ask("GET", outputs["FUNCTION_APP_RESOURCE_ID"], version="2025-03-01")
        scale = site["properties"]["functionAppConfig"]["scaleAndConcurrency"]
        assert scale["alwaysReady"] == [
            {"name": f"function:{function}", "instanceCount": 1},
            {"name": "function:plan_rebuilds", "instanceCount": 2},
        ]


def test_an_app_in_several_zones_that_is_updated_in_turns(deployer: Deployer) -> None:
    """Its plan says the one, the app the other; the page's plan stays in one zone."""
    more: Json = {"dashboard": {"clientId": OTHER, "name": "ourpage", "planName": "ourplan"}}
    given = values(storageSkuName="Standard_ZRS", zoneRedundant=True, **more)
    outputs = deployer.deploy({**given, "siteUpdateStrategy": "RollingUpdate"})
    site = deployer.ask("GET", outputs["FUNCTION_APP_RESOURCE_ID"], version="2025-03-01")
    plans = deployer.cloud.state.resources("Microsoft.Web/serverfarms")

    assert site["properties"]["functionAppConfig"]["siteUpdateStrategy"] == {
        "type": "RollingUpdate"
    }
    spread = {plan.id: plan.properties["zoneRedundant"] for plan in plans}
    assert spread.pop(site["properties"]["serverFarmId"]) is True
    assert [plan.rpartition("/")[2] for plan in spread] == ["ourplan"]
    assert set(spread.values()) == {False}


@pytest.mark.parametrize("emails", [(), ("a@example.com",)])
def test_a_budget_tells_somebody(deployer: Deployer, emails: tuple[str, ...]) -> None:
    """The action group where there is one, else the owners; a second time is no change."""
    given = values(budget={"amount": 50, "startDate": "2026-12-01"}, alertEmails=list(emails))
    outputs = deployer.deploy(given)
    word = "/providers/microsoft.consumption/budgets/"
    (budget,) = (v for k, v in deployer.cloud.arm.plain.items() if word in k)
    told = budget["properties"]["notifications"].values()

    assert budget["id"].split("/")[4] == outputs["AZURE_RESOURCE_GROUP"]
    assert budget["properties"]["amount"] == 50
    assert budget["properties"]["timePeriod"] == {"startDate": "2026-12-01T00:00:00Z"}
    assert sorted((n["thresholdType"], n["threshold"]) for n in told) == [
        *(("Actual", 80), ("Actual", 100), ("Forecasted", 100))
    ]
    group = outputs["ACTION_GROUP_RESOURCE_ID"]
    for notification in told:
        assert notification["enabled"] is True
        assert notification.get("contactGroups", []) == ([group] if emails else [])
        assert notification.get("contactRoles", []) == ([] if emails else ["Owner"])
    assert deployer.changes(given) == {}


@pytest.mark.parametrize(("delivery", "reached_by"), [("webhook", 1), ("queue", 0)])
def test_a_closed_app_is_reached_by_few(deployer: Deployer, delivery: str, reached_by: int) -> None:
    """By its own subnet, where the platform asks for triggers, and Event Grid if it calls."""
    given = values(privateNetwork=True, eventDelivery=delivery)
    outputs = deployer.deploy(given)
    site = deployer.ask("GET", outputs["FUNCTION_APP_RESOURCE_ID"], version="2025-03-01")
    config = site["properties"]["siteConfig"]

    assert config["ipSecurityRestrictionsDefaultAction"] == "Deny"
    assert config["scmIpSecurityRestrictionsDefaultAction"] == "Deny"
    for name in ("ipSecurityRestrictions", "scmIpSecurityRestrictions"):
        own = [rule for rule in config[name] if rule["name"] == "own-subnet"]
        assert [rule["vnetSubnetResourceId"] for rule in own] == [outputs["APP_SUBNET_RESOURCE_ID"]]
    tags = [r["ipAddress"] for r in config["ipSecurityRestrictions"] if r["name"] == "event-grid"]
    assert len(tags) == reached_by
    vnet = deployer.cloud.arm.plain[outputs["VIRTUAL_NETWORK_RESOURCE_ID"].lower()]
    subnet = vnet["properties"]["subnets"][0]["properties"]
    assert subnet["serviceEndpoints"] == [{"service": "Microsoft.Web"}]
