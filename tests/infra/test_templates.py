"""What the templates make fits the product, and is closed where it should be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

import function_app
from rebuilder.settings import Settings
from rebuilder.settings import table as settings
from rebuilder.sources._tools import Limits
from rebuilder.telemetry.azure_monitor import ASKED, CONNECTION, asked_for
from rebuilder.usecases.leases import LEASE, SLICE
from tests.infra.templates import FORMS, INFRA, ROOT, predicted, read, resources

# learn.microsoft.com, "Azure built-in roles".
ROLE_IDS = {
    "acrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "containerRegistryRepositoryReader": "b93aa761-3e63-49ed-ac28-beffa264f7ac",
    "containerRegistryRepositoryWriter": "2a1e307c-b015-4ebd-883e-5b7698a07328",
    "keyVaultSecretsUser": "4633458b-17de-408a-b874-0445c86b69e6",
    "monitoringMetricsPublisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "storageBlobDataContributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "storageBlobDataOwner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "storageBlobDataReader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "storageQueueDataContributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "storageQueueDataMessageSender": "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a",
    "storageTableDataContributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "storageTableDataReader": "76199698-9eea-4c19-bc75-cec21354c6b6",
}
# What the host and Application Insights read; the rest is the product's.
PLATFORM = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__credential",
    "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "PYTHON_ENABLE_OPENTELEMETRY",
    "PYTHON_THREADPOOL_THREAD_COUNT",
}
STORAGE_PARTS = {"accountName", "queueServiceUri", "tableServiceUri", "clientId"}


@cache
def _triggers() -> dict[str, dict[str, Any]]:
    """Return the trigger of every function as the host indexes it."""
    triggers = {}
    for found in function_app.app.get_functions():
        trigger = found.get_trigger()
        assert trigger is not None
        triggers[str(found.get_function_name())] = trigger.get_dict_repr()
    return triggers


def _settings(form: str) -> dict[str, str]:
    """Return the settings that the template itself gives; "" is what Azure has yet to tell.

    Secrets may be among the others, so the whole is an expression in the snapshot.
    """
    (found,) = predicted(form, "Microsoft.Web/sites/config")
    names = "APPLICATIONINSIGHTS|AZURE|AzureWebJobs|FUNCTIONS|OTEL|PYTHON|REBUILDER"
    return dict(re.findall(rf"'((?:{names})\w+)', (?:'([^']*)')?", found["properties"]))


@pytest.mark.parametrize("form", FORMS)
def test_settings_are_the_products(form: str) -> None:
    """Every app setting is one that the product reads; those without a default are there."""
    known = {entry.name for entry in settings.SETTINGS}
    given = set(_settings(form)) - PLATFORM
    parts = {name for name in given if name.startswith(f"{settings.STORAGE}__")}

    assert given - parts <= known
    assert parts == {f"{settings.STORAGE}__{part}" for part in STORAGE_PARTS}
    assert {
        settings.BASE_REGISTRIES,
        settings.TASK_REGISTRIES,
        settings.CLIENT_ID,
        settings.DEAD_LETTERS,
        settings.ARM_ENDPOINT,
    } <= given


@pytest.mark.parametrize("form", FORMS)
def test_the_registries_of_the_settings_can_be_read(form: str) -> None:
    """The product takes what the template writes."""
    written = {
        name: _settings(form)[name] for name in (settings.BASE_REGISTRIES, settings.TASK_REGISTRIES)
    }
    read_back = Settings.from_env({**written, settings.STORAGE: "sqlite:x"})

    assert {str(r).rpartition("/")[2] for r in read_back.base_registries} == {
        value.rpartition("/")[2] for value in written[settings.BASE_REGISTRIES].split(",")
    }
    assert len(read_back.task_registries) == 1


def test_every_setting_may_be_chosen() -> None:
    """The template's type names each setting of the product but those that it sets itself."""
    definition = next(
        found
        for name, found in read("main.json")["definitions"].items()
        if name.endswith("appSettingsType")
    )

    assert set(definition["properties"]) == {e.name for e in settings.SETTINGS if e.chosen}
    assert definition["type"] == "secureObject"
    assert definition["additionalProperties"] is False


def test_types_are_sealed() -> None:
    """A misspelt property is refused, and not passed over."""
    definitions = read("main.json")["definitions"]
    objects = {n: d for n, d in definitions.items() if d["type"].lower().endswith("object")}

    assert len(objects) >= 11
    assert [n for n, d in objects.items() if d.get("additionalProperties") is not False] == []


def test_functions_queues_and_tables_are_the_apps() -> None:
    """Subscriptions lead to Event Grid functions; queues and tables are those that are used."""
    triggers = _triggers()
    subscribed = set(
        re.findall(
            r"'Microsoft.Web/sites/functions', [^,]+, '(\w+)'",
            (INFRA / "event-subscriptions.json").read_text("utf-8"),
        )
    )
    queues = {t["queueName"] for t in triggers.values() if t["type"] == "queueTrigger"}
    made = {
        found["id"].rpartition("/")[2]
        for found in predicted("minimal", "Microsoft.Storage/storageAccounts/queueServices/queues")
    }
    tables = {
        found["id"].rpartition("/")[2]
        for found in predicted("minimal", "Microsoft.Storage/storageAccounts/tableServices/tables")
    }
    used = {
        name
        for file in (ROOT / "rebuilder" / "azure").rglob("*.py")
        for name in re.findall(
            r'^[A-Z_]+ = "(rebuilder[a-z]+)"$', file.read_text("utf-8"), re.MULTILINE
        )
    }
    (site,) = predicted("locked-down", "Microsoft.Web/sites")
    (ready,) = site["properties"]["functionAppConfig"]["scaleAndConcurrency"]["alwaysReady"]

    assert subscribed == {n for n, t in triggers.items() if t["type"] == "eventGridTrigger"}
    assert made == queues | {f"{queue}-poison" for queue in queues}
    assert tables == used
    assert ready["name"].removeprefix("function:") in triggers
    assert site["properties"]["functionAppConfig"]["runtime"] == {
        "name": "python",
        "version": "3.13",
    }


def test_one_api_version_for_each_type() -> None:
    """Two versions of one type would mean two readings of it."""
    versions: dict[str, set[str]] = defaultdict(set)
    for name in ("main.json", "event-subscriptions.json"):
        for found in resources(read(name)):
            versions[found["type"]].add(found["apiVersion"])

    assert len(versions) > 20
    assert {kind: found for kind, found in versions.items() if len(found) > 1} == {}


def test_built_in_roles_have_azures_ids() -> None:
    """A wrong id would be another role."""
    assert read("built-in-roles.json") == ROLE_IDS


@pytest.mark.parametrize("form", FORMS)
def test_the_custom_roles_are_split_by_kind_of_registry(form: str) -> None:
    """Together they are infra/rebuilder-role.json; nobody may start runs in a base registry."""
    roles = {
        found["properties"]["roleName"].partition(" (")[0]: found["properties"]["permissions"][0]
        for found in predicted(form, "Microsoft.Authorization/roleDefinitions")
    }
    base = set(roles["ACR Rebuilder, base registries"]["actions"])
    tasks = set(roles["ACR Rebuilder, task registries"]["actions"])

    assert base | tasks == set(read("rebuilder-role.json")["Actions"])
    assert not {action for action in base if not action.endswith("/read")}
    assert not {action for action in tasks if action.startswith("Microsoft.Authorization/")}
    assert not {action for action in base | tasks if "*" in action}


@pytest.mark.parametrize("form", FORMS)
def test_roles_are_assigned_on_single_resources(form: str) -> None:
    """No role reaches a whole resource group or subscription."""
    found = predicted(form, "Microsoft.Authorization/roleAssignments")
    scopes = [entry["id"].rpartition("/providers/Microsoft.Authorization/")[0] for entry in found]

    # Base: custom role and pulling; tasks: custom role; storage: three; telemetry; two topics.
    # Reading outputs; the sample task, and two topics that write into the queue.
    more = {"minimal": 0, "typical": 1, "locked-down": 4}
    assert len(found) == 2 + 1 + 3 + 1 + 2 + more[form]
    assert all("/providers/" in scope for scope in scopes), scopes
    assert {entry["properties"]["principalType"] for entry in found} == {"ServicePrincipal"}


def test_nothing_holds_a_key() -> None:
    """No key is asked of Azure, and none is written down."""
    forbidden = re.compile(
        r"listkeys|listsecrets|listcredentials|listaccountsas|accountkey|sharedaccesskey"
        r"|instrumentationkey|adminuserenabled: true|[?&]sig=|client.?secret(?!SettingName)",
        re.IGNORECASE,
    )
    files = [file for file in INFRA.rglob("*") if file.suffix in {".bicep", ".json", ".bicepparam"}]
    files += [ROOT / "azure.yaml", *(ROOT / ".github" / "workflows").glob("*.yml")]

    assert len(files) > 25
    assert [file.name for file in files if forbidden.search(file.read_text("utf-8"))] == []
    for form in FORMS:
        (account,) = predicted(form, "Microsoft.Storage/storageAccounts")
        (component,) = predicted(form, "Microsoft.Insights/components")
        (workspace,) = predicted(form, "Microsoft.OperationalInsights/workspaces")
        assert account["properties"]["allowSharedKeyAccess"] is False
        assert component["properties"]["DisableLocalAuth"] is True
        assert workspace["properties"]["features"]["disableLocalAuth"] is True
        policies = predicted(form, "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
        assert [found["properties"]["allow"] for found in policies] == [False, False]


def test_the_locked_down_form_is_closed() -> None:
    """Nobody comes in from outside; events come by a queue."""
    (account,) = predicted("locked-down", "Microsoft.Storage/storageAccounts")
    registries = predicted("locked-down", "Microsoft.ContainerRegistry/registries")
    (site,) = predicted("locked-down", "Microsoft.Web/sites")
    config = site["properties"]["siteConfig"]
    endpoints = predicted("locked-down", "Microsoft.Network/privateEndpoints")

    assert account["properties"]["publicNetworkAccess"] == "Disabled"
    assert account["properties"]["networkAcls"]["defaultAction"] == "Deny"
    assert len(registries) == 2
    for registry in registries:
        assert registry["properties"]["publicNetworkAccess"] == "Disabled"
        assert registry["properties"]["anonymousPullEnabled"] is False
        assert registry["properties"]["networkRuleBypassAllowedForTasks"] is True
    assert config["ipSecurityRestrictionsDefaultAction"] == "Deny"
    assert config["scmIpSecurityRestrictionsDefaultAction"] == "Deny"
    for rules in ("ipSecurityRestrictions", "scmIpSecurityRestrictions"):
        assert [rule["name"] for rule in config[rules]] == ["own-subnet"]
    assert site["properties"]["virtualNetworkSubnetId"].endswith("/subnets/app")
    assert len(endpoints) == 3 + len(registries)
    assert len(predicted("locked-down", "Microsoft.Authorization/locks")) == 11


def test_subscriptions_lose_nothing() -> None:
    """Every event subscription tries again, ends in time, and leaves dead letters by identity."""
    found = [
        entry
        for entry in resources(read("event-subscriptions.json"))
        if entry["type"] == "Microsoft.EventGrid/systemTopics/eventSubscriptions"
    ]
    parameters = read("event-subscriptions.json")["parameters"]

    assert len(found) == 2
    for entry in found:
        written = entry["properties"]
        for said in (
            "deadLetterWithResourceIdentity",
            "SystemAssigned",
            "StorageBlob",
            "retryPoli",
        ):
            assert said in written
    # By a queue, nothing has to answer; and what nobody takes stays.
    (queue,) = {
        json.dumps(module["variables"]["toQueue"])
        for module in _templates(read("event-subscriptions.json"))
        if "toQueue" in module.get("variables", {})
    }
    assert json.loads(queue)["deliveryWithResourceIdentity"]["destination"]["properties"] == {
        "resourceId": "[parameters('storageAccountResourceId')]",
        "queueName": "[parameters('queueName')]",
        "queueMessageTimeToLiveInSeconds": -1,
    }
    assert parameters["maxDeliveryAttempts"] | {"metadata": 0} == {
        "type": "int",
        "defaultValue": 30,
        "minValue": 2,
        "maxValue": 30,
        "metadata": 0,
    }
    assert parameters["eventTimeToLiveInMinutes"]["defaultValue"] == 1440


def _templates(template: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Give a template and those in it."""
    if isinstance(template, dict):
        if "$schema" in template:
            yield template
        for value in template.values():
            yield from _templates(value)
    elif isinstance(template, list):
        for value in template:
            yield from _templates(value)


REFUSED_ON_FLEX = (
    *("FtpsState", "LinuxFxVersion", "NetFrameworkVersion", "Use32BitWorkerProcess"),
    *("FunctionAppScaleLimit", "PreWarmedInstanceCount"),
    "FunctionsRuntimeScaleMonitoringEnabled",
)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_handed_over_at_once_has_a_thread(form: str) -> None:
    """A message that waits for one uses up the time of its function."""
    queues = json.loads((ROOT / "host.json").read_text("utf-8"))["extensions"]["queues"]
    most = queues["batchSize"] + queues["newBatchThreshold"]
    assert int(_settings(form)["PYTHON_THREADPOOL_THREAD_COUNT"]) == most


def test_a_function_ends_between_a_slice_and_a_lease() -> None:
    """One that is ended in the middle has nobody beside it; one that stops in time is not ended."""
    told = json.loads((ROOT / "host.json").read_text("utf-8"))["functionTimeout"]
    hours, minutes, seconds = (int(part) for part in told.split(":"))
    may_take = timedelta(hours=hours, minutes=minutes, seconds=seconds)

    assert SLICE + timedelta(seconds=Limits().seconds) < may_take < LEASE


def test_every_function_may_have_an_instance() -> None:
    """Flex Consumption gives each its own; fewer would have one wait for another to be done."""
    most = read("main.json")["parameters"]["maximumInstanceCount"]

    assert len(_triggers()) <= most["defaultValue"] <= 2 * len(_triggers())
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert f"functions ({len(_triggers())})" in page


@pytest.mark.parametrize("form", FORMS)
def test_references_to_key_vault_are_resolved_by_the_apps_identity(form: str) -> None:
    """By default it would be a system-assigned one, which there is none of."""
    (site,) = predicted(form, "Microsoft.Web/sites")
    (identity,) = site["identity"]["userAssignedIdentities"]
    assert site["properties"]["keyVaultReferenceIdentity"] == identity


def test_registries_with_endpoints_elsewhere_are_found() -> None:
    """The private zone of registries does not hide those that it has no record of."""
    links = predicted("locked-down", "Microsoft.Network/privateDnsZones/virtualNetworkLinks")
    assert links
    assert {link["properties"]["resolutionPolicy"] for link in links} == {"NxDomainRedirect"}


@pytest.mark.parametrize("form", FORMS)
def test_nothing_that_flex_consumption_refuses_is_set(form: str) -> None:
    """ARM refuses the whole app for one property; in some regions first."""
    (site,) = predicted(form, "Microsoft.Web/sites")
    config = {name.lower() for name in site["properties"]["siteConfig"]}

    assert config
    assert config & {name.lower() for name in REFUSED_ON_FLEX} == set()


@pytest.mark.parametrize("form", FORMS)
def test_the_app_sends_its_own_telemetry_and_the_host_no_looks_at_queues(form: str) -> None:
    """One sends each line; what cannot be sampled in host.json is, where the host reads it."""
    host = json.loads((ROOT / "host.json").read_text("utf-8"))
    given = _settings(form)

    assert host["telemetryMode"] == "OpenTelemetry"
    # Of the other mode: the host passes it over, and a reader would believe it.
    assert "applicationInsights" not in host["logging"]
    # Where the app's own telemetry is turned off, the host hands its lines on.
    assert host["logging"]["logLevel"] == {"default": "Warning", "Function": "Information"}
    assert given["PYTHON_ENABLE_OPENTELEMETRY"] == "true"
    assert asked_for({CONNECTION: "x", ASKED: given[ASKED]})
    sampler = (given["OTEL_TRACES_SAMPLER"], given["OTEL_TRACES_SAMPLER_ARG"])
    assert sampler == ("microsoft.fixed_percentage", "0")


def test_azures_packages_log_none_of_their_requests() -> None:
    """Two lines for each would be most of what is paid for."""
    # In a process of its own, as the app is: here other tests have set levels, too.
    names = ("azure.core", "azure.identity", "azure.mgmt", "azure.monitor", "msal", "urllib3")
    text = f"""
import function_app, logging
assert {{logging.getLogger(name).level for name in {names}}} == {{logging.WARNING}}
assert logging.getLogger("azure").level == logging.NOTSET  # azure.functions is below it
"""
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=ROOT,
        env={**os.environ, "AzureWebJobsStorage": "sqlite:none", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_operators_are_told_which_alerts_there_are() -> None:
    """Each is named in docs/operations.md."""
    texts = (INFRA / "modules" / "alerts.bicep").read_text("utf-8")
    names = re.findall(r"^    name: '([a-z-]+)'$", texts, re.MULTILINE)
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")

    assert len(names) >= 10
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_sample_task_is_as_the_product_likes_them() -> None:
    """It has an identity, credentials for the base registry, and ACR's own trigger is off."""
    (task,) = predicted("locked-down", "Microsoft.ContainerRegistry/registries/tasks")

    assert task["identity"] == {"type": "SystemAssigned"}
    assert task["properties"]["trigger"]["baseImageTrigger"]["status"] == "Disabled"
    assert task["properties"]["credentials"]["sourceRegistry"] == {"identity": "[system]"}
    assert len(task["properties"]["credentials"]["customRegistries"]) == 1
