"""Remove what infra/ has made, and leave nothing behind; a dry run unless `--yes` is given.

    python3 tools/remove.py --environment ENV             # what would go
    python3 tools/remove.py --environment ENV --yes       # does it
    python3 tools/remove.py --environment ENV --dropped   # only what registries keep that the
                                                          # app's settings do not name any more

It finds what carries the environment's tags (`azd-env-name`, `rebuilder-token`) in every
subscription that the product's custom roles may be assigned in, and the role assignments, event
subscriptions, alerts and locks that go with it. Registries that the template made stay, with their
images, unless `--registries` is given; so do topics that somebody else is subscribed to, until the
last environment on them goes. What was there before stays, without the roles that it was given.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from azcli import FailedCommandError, az

type Json = dict[str, Any]

_ROLES = Path(__file__).resolve().parent.parent / "infra" / "built-in-roles.json"
# Of what guid() of a template makes.
_NAMES = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")

VERSIONS = {
    "microsoft.authorization/locks": "2020-05-01",
    "microsoft.authorization/roleassignments": "2022-04-01",
    "microsoft.authorization/roledefinitions": "2022-04-01",
    "microsoft.consumption/budgets": "2026-06-01",
    "microsoft.containerregistry/registries": "2025-11-01",
    "microsoft.containerregistry/registries/tasks": "2025-03-01-preview",
    "microsoft.eventgrid/systemtopics": "2025-02-15",
    "microsoft.eventgrid/systemtopics/eventsubscriptions": "2025-02-15",
    "microsoft.insights/actiongroups": "2023-01-01",
    "microsoft.insights/diagnosticsettings": "2021-05-01-preview",
    "microsoft.insights/components": "2020-02-02",
    "microsoft.insights/metricalerts": "2026-01-01",
    "microsoft.insights/scheduledqueryrules": "2026-03-01",
    "microsoft.insights/workbooks": "2023-06-01",
    "microsoft.managedidentity/userassignedidentities": "2024-11-30",
    "microsoft.network/networksecuritygroups": "2025-05-01",
    "microsoft.network/privatednszones": "2024-06-01",
    "microsoft.network/privatednszones/virtualnetworklinks": "2024-06-01",
    "microsoft.network/privateendpoints": "2025-05-01",
    "microsoft.network/virtualnetworks": "2025-05-01",
    "microsoft.operationalinsights/workspaces": "2025-07-01",
    "microsoft.resources/deployments": "2025-04-01",
    "microsoft.resources/resourcegroups": "2025-04-01",
    "microsoft.storage/storageaccounts": "2025-08-01",
    "microsoft.web/serverfarms": "2025-03-01",
    "microsoft.web/sites": "2025-03-01",
}
# What Azure makes beside an Application Insights component, without a tag.
_MADE_BY_AZURE = ("microsoft.alertsmanagement/smartdetectoralertrules",)
_SMART = "application insights smart detection"

# They outlive their resource, and hold for the next one of its name.
_WITH_SETTINGS = {
    "microsoft.eventgrid/systemtopics": ("",),
    "microsoft.web/sites": ("",),
    "microsoft.containerregistry/registries": ("",),
    "microsoft.storage/storageaccounts": (
        "/blobServices/default",
        "/queueServices/default",
        "/tableServices/default",
    ),
}

ORDER = (
    "microsoft.authorization/locks",
    "microsoft.insights/diagnosticsettings",
    "microsoft.eventgrid/systemtopics/eventsubscriptions",
    "microsoft.web/sites",
    "microsoft.web/serverfarms",
    "microsoft.authorization/roleassignments",
    "microsoft.insights/metricalerts",
    "microsoft.insights/scheduledqueryrules",
    "microsoft.insights/workbooks",
    "microsoft.insights/actiongroups",
    "microsoft.eventgrid/systemtopics",
    "microsoft.containerregistry/registries/tasks",
    "microsoft.network/privateendpoints",
    "microsoft.network/privatednszones/virtualnetworklinks",
    "microsoft.network/privatednszones",
    "microsoft.network/virtualnetworks",
    "microsoft.network/networksecuritygroups",
    "microsoft.storage/storageaccounts",
    "microsoft.insights/components",
    "microsoft.operationalinsights/workspaces",
    "microsoft.managedidentity/userassignedidentities",
    "microsoft.containerregistry/registries",
    "microsoft.consumption/budgets",
    "microsoft.resources/resourcegroups",
    "microsoft.authorization/roledefinitions",
    "microsoft.resources/deployments",
)
"""What goes first: what keeps something else from going, or needs it to be found."""

_PATIENCE = 600.0
_NOT_FOUND = 404


class Arm:
    """Azure Resource Manager, with the Azure CLI's token."""

    def __init__(self) -> None:
        token, cloud = az("account", "get-access-token"), az("cloud", "show")
        if not isinstance(token, dict) or not isinstance(cloud, dict):
            raise FailedCommandError("the Azure CLI told no token and no cloud")
        self._token = str(token["accessToken"])
        self._endpoint = str(cloud["endpoints"]["resourceManager"]).rstrip("/")
        self.subscription = str(token["subscription"])

    def ask(self, method: str, path: str, version: str, body: object = None) -> Json | None:
        """Ask; None for what is not there.

        Raises:
            FailedCommandError: Azure refused.
        """
        url = path
        if not path.startswith("https://"):
            sign = "&" if "?" in path else "?"
            url = f"{self._endpoint}{quote(path, safe='/?=&$,()')}{sign}api-version={version}"
        request = urllib.request.Request(  # noqa: S310 - ARM's own address
            url,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - the same
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == _NOT_FOUND:
                return None
            said = error.read().decode(errors="replace")
            raise FailedCommandError(f"{method} {path}: {error.code} {said[:500]}") from error
        except OSError as error:
            raise FailedCommandError(f"{method} {path}: {error}") from error
        told = json.loads(text) if text.strip() else {}
        return told if isinstance(told, dict) else {}

    def get(self, resource_id: str) -> Json | None:
        """Read a resource."""
        return self.ask("GET", resource_id, version_of(resource_id))

    def each(self, path: str, version: str) -> Iterator[Json]:
        """Give every entry of a list, of all its pages."""
        page = self.ask("GET", path, version)
        while page is not None:
            yield from page.get("value") or ()
            following = str(page.get("nextLink") or "")
            page = self.ask("GET", following, version) if following else None

    def delete(self, resource_id: str) -> None:
        """Delete something, and wait until it is gone.

        Raises:
            FailedCommandError: Azure refused, or it is still there.
        """
        self.ask("DELETE", resource_id, version_of(resource_id))
        until = time.monotonic() + _PATIENCE
        while self.get(resource_id) is not None:
            if time.monotonic() >= until:
                raise FailedCommandError(f"{resource_id} is still there")
            time.sleep(2)


def type_of(resource_id: str) -> str:
    """Return the type of a resource, in lower case."""
    if "/providers/" not in resource_id:
        return "microsoft.resources/resourcegroups"
    provider, *rest = resource_id.lower().rpartition("/providers/")[2].split("/")
    return "/".join([provider, *rest[::2]])


def version_of(resource_id: str) -> str:
    """Return the API version that a resource is asked for with."""
    return VERSIONS.get(type_of(resource_id), VERSIONS["microsoft.resources/resourcegroups"])


@dataclass
class Plan:
    """What goes, and what stays although it carries the environment's tags.

    Attributes:
        going: Resource ids, each with what it is, for a person.
        staying: Resource ids, each with the reason.
    """

    going: dict[str, str] = field(default_factory=dict)
    staying: dict[str, str] = field(default_factory=dict)

    def ordered(self) -> list[str]:
        """Return what goes, in the order in which it can."""
        return sorted(self.going, key=lambda place: ORDER.index(type_of(place)))


class Environment:
    """One environment: what was made for it, in every subscription."""

    def __init__(self, arm: Arm, name: str, subscription: str, token: str) -> None:
        self._arm = arm
        self._name = name
        home = f"/subscriptions/{subscription}"
        groups = [
            entry
            for entry in arm.each(f"{home}/resourcegroups", "2024-11-01")
            if self._is_tagged(entry) and token in ("", _tag(entry, "rebuilder-token"))
        ]
        tokens = {_tag(entry, "rebuilder-token") for entry in groups}
        if len(tokens) > 1:
            raise FailedCommandError(f"several are named {name}: say --token, of {sorted(tokens)}")
        self._token = token or next(iter(tokens), "")
        if not self._token:
            raise FailedCommandError(
                f"no resource group of subscription {subscription} has the tags of the environment"
                f" {name} (azd-env-name, rebuilder-token): what an older version made is to be"
                " deployed again first"
            )
        self._home = home
        self.groups = [str(entry["id"]) for entry in groups]
        self.roles = [
            entry
            for entry in arm.each(
                f"{home}/providers/Microsoft.Authorization/roleDefinitions", "2022-04-01"
            )
            if str(entry["properties"]["roleName"]).endswith(f"({self._token})")
        ]
        scopes = {s for role in self.roles for s in role["properties"]["assignableScopes"]}
        self.subscriptions = sorted({home, *scopes}, key=str.lower)
        self.resources = {
            str(entry["id"]): entry
            for place in self.subscriptions
            for entry in arm.each(f"{place}/resources", "2024-11-01")
            if self._is_ours(entry)
        }
        self._add_tasks()
        self.assignments = [
            entry
            for place in self.subscriptions
            for entry in arm.each(
                f"{place}/providers/Microsoft.Authorization/roleAssignments", "2022-04-01"
            )
        ]

    def _is_tagged(self, entry: Json) -> bool:
        return _tag(entry, "azd-env-name") == self._name and bool(_tag(entry, "rebuilder-token"))

    def _is_ours(self, entry: Json) -> bool:
        return self._is_tagged(entry) and _tag(entry, "rebuilder-token") == self._token

    def _add_tasks(self) -> None:
        """Find the sample task, which not every list of resources names."""
        for registry in self.task_registries():
            version = VERSIONS["microsoft.containerregistry/registries/tasks"]
            for task in self._arm.each(f"{registry}/tasks", version):
                if self._is_ours(task):
                    self.resources[str(task["id"])] = task

    def of(self, kind: str) -> list[str]:
        """Return the environment's resources of a type."""
        return [place for place in self.resources if type_of(place) == kind]

    def settings(self) -> Json:
        """Return the app's settings; none if there is no app."""
        for site in self.of("microsoft.web/sites"):
            told = self._arm.ask(
                "POST", f"{site}/config/appsettings/list", VERSIONS["microsoft.web/sites"]
            )
            return dict((told or {}).get("properties") or {})
        return {}

    def base_registries(self) -> list[str]:
        """Return the resource ids of the base registries that the app's settings name."""
        return _ids(self.settings().get("REBUILDER_BASE_REGISTRIES"))

    def task_registries(self) -> list[str]:
        """Return the resource ids of the registries with tasks that the settings name."""
        return _ids(self.settings().get("REBUILDER_TASK_REGISTRIES"))

    def all_of_it(self, *, registries: bool) -> Plan:
        """Return everything: what the product is, and what it left with others."""
        plan = Plan()
        self._event_subscriptions(plan)
        for place in self.resources:
            kind = type_of(place)
            if kind == "microsoft.eventgrid/systemtopics" and self._others_on(place, plan):
                plan.staying[place] = "somebody else is subscribed to it"
            elif kind == "microsoft.containerregistry/registries" and not registries:
                plan.staying[place] = "it holds images; --registries deletes it"
            elif kind in ORDER:
                plan.going[place] = "resource"
            else:
                plan.staying[place] = "of a type that infra/ does not make"
        self._orphans(plan)
        self._identities(plan, [place for place in plan.going if "/providers/" in place])
        self._own_roles(plan)
        self._roles_of_others(plan)
        self._diagnostics(plan)
        self._locks(plan)
        self._budgets(plan)
        self._groups(plan)
        for role in self.roles:
            plan.going[str(role["id"])] = f"role definition {role['properties']['roleName']}"
        name = f"acr-rebuilder-{self._name}"
        for deployment in self._arm.each(
            f"{self._home}/providers/Microsoft.Resources/deployments", "2024-11-01"
        ):
            if str(deployment["name"]) in (name, f"{name}-events"):
                plan.going[str(deployment["id"])] = "record of a deployment"
        return plan

    def dropped(self) -> Plan:
        """Return what registries keep that the app's settings do not name any more."""
        plan = Plan()
        bases = {place.lower() for place in self.base_registries()}
        tasks = {place.lower() for place in self.task_registries()}
        if not bases or not tasks:
            raise FailedCommandError("the app's settings name no registries: nothing is known")
        named = bases | tasks
        groups = {place.partition("/providers/")[0] for place in tasks}
        principals = self._principals(self.of("microsoft.managedidentity/userassignedidentities"))
        for entry in self.assignments:
            scope = str(entry["properties"]["scope"]).lower()
            on_registry = type_of(scope) == "microsoft.containerregistry/registries"
            ours = entry["properties"]["principalId"] in principals
            if ours and on_registry and scope not in named:
                plan.going[str(entry["id"])] = f"role on {scope.rpartition('/')[2]}"
        for place in self.of("microsoft.eventgrid/systemtopics"):
            topic = self._arm.get(place) or {}
            source = str((topic.get("properties") or {}).get("source") or "").lower()
            if source in bases | groups:
                continue
            self._event_subscriptions(plan, [place])
            if self._others_on(place, plan):
                plan.staying[place] = "somebody else is subscribed to it"
                continue
            plan.going[place] = "topic"
            self._identities(plan, [place])
            self._alerts(plan, place)
        self._diagnostics(plan)
        self._locks(plan)
        return plan

    def _alerts(self, plan: Plan, topic: str) -> None:
        for place in self.of("microsoft.insights/metricalerts"):
            alert = self._arm.get(place) or {}
            scopes = (alert.get("properties") or {}).get("scopes") or ()
            if topic.lower() in {str(scope).lower() for scope in scopes}:
                plan.going[place] = "alert"

    def _principals(self, places: Iterable[str]) -> set[str]:
        found = set()
        for place in places:
            kind = type_of(place)
            if kind == "microsoft.managedidentity/userassignedidentities":
                told = self._arm.get(place) or {}
                found.add(str((told.get("properties") or {}).get("principalId")))
            elif kind in (
                "microsoft.eventgrid/systemtopics",
                "microsoft.containerregistry/registries/tasks",
            ):
                told = self._arm.get(place) or {}
                found.add(str((told.get("identity") or {}).get("principalId")))
        return found

    def _identities(self, plan: Plan, places: Iterable[str]) -> None:
        """Plan the role assignments of identities that go."""
        principals = self._principals(places)
        for entry in self.assignments:
            if entry["properties"]["principalId"] in principals:
                self._assignment(plan, entry)

    def _own_roles(self, plan: Plan) -> None:
        """Plan the assignments of the product's own roles, and all of those in its account."""
        own = {str(role["id"]).rpartition("/")[2].lower() for role in self.roles}
        accounts = [a.lower() for a in self.of("microsoft.storage/storageaccounts")]
        for entry in self.assignments:
            role = str(entry["properties"]["roleDefinitionId"]).rpartition("/")[2].lower()
            scope = f"{entry['properties']['scope']}/".lower()
            if role in own or any(scope.startswith(f"{account}/") for account in accounts):
                self._assignment(plan, entry)

    def _roles_of_others(self, plan: Plan) -> None:
        """Plan what an identity was given that was there before, and stays."""
        roles = json.loads(_ROLES.read_text("utf-8"))
        pulling = {roles["acrPull"], roles["containerRegistryRepositoryReader"]}
        named = {place.lower() for place in (*self.base_registries(), *self.task_registries())}
        for identity in self._used_identities():
            principals = self._principals([identity])
            for entry in self.assignments:
                told = entry["properties"]
                role, scope = str(told["roleDefinitionId"]).rpartition("/")[2], str(told["scope"])
                if told["principalId"] not in principals:
                    continue
                # Azure knows a role of somebody on something once: had it been there, the template
                # could not have given it. A vault is named nowhere; the template's names are.
                pulls = role in pulling and scope.lower() in named
                name = str(uuid.uuid5(_NAMES, f"{scope}-{identity}-{role}"))
                if pulls or (role == roles["keyVaultSecretsUser"] and entry["name"] == name):
                    self._assignment(plan, entry)

    def _used_identities(self) -> Iterator[str]:
        """Give the identities of the apps that are not the environment's own."""
        own = {place.lower() for place in self.resources}
        for site in self.of("microsoft.web/sites"):
            told = (self._arm.get(site) or {}).get("identity") or {}
            for identity in told.get("userAssignedIdentities") or ():
                if identity.lower() not in own:
                    yield identity

    def _orphans(self, plan: Plan) -> None:
        """Plan topics of an environment that is gone, if nobody else is subscribed to them."""
        below = "/eventSubscriptions/"
        for topic in {place.rpartition(below)[0] for place in plan.going if below in place}:
            token = _tag(self._arm.get(topic) or {}, "rebuilder-token")
            if not token or token == self._token or self._others_on(topic, plan):
                continue
            subscription = topic.partition("/resourceGroups/")[0]
            listed = f"{subscription}/providers/Microsoft.Authorization/roleDefinitions"
            names = (
                str(entry["properties"]["roleName"])
                for entry in self._arm.each(listed, "2022-04-01")
            )
            if not any(name.endswith(f"({token})") for name in names):
                plan.going[topic] = "topic of an environment that is gone"

    def _assignment(self, plan: Plan, entry: Json) -> None:
        scope = str(entry["properties"]["scope"]).rpartition("/")[2]
        plan.going[str(entry["id"])] = f"role assignment on {scope}"

    def _event_subscriptions(self, plan: Plan, topics: Sequence[str] | None = None) -> None:
        """Plan the subscriptions that lead to the app or its queue, on anybody's topics."""
        sites = {place.lower() for place in self.of("microsoft.web/sites")}
        accounts = {place.lower() for place in self.of("microsoft.storage/storageaccounts")}
        for topic in self._topics() if topics is None else topics:
            for entry in self._subscribed(topic):
                told = entry["properties"]
                by = told.get("deliveryWithResourceIdentity") or told
                destination = ((by.get("destination") or {}).get("properties") or {}).get(
                    "resourceId"
                )
                place = str(destination or "").lower().partition("/functions/")[0]
                if place in sites | accounts:
                    plan.going[str(entry["id"])] = "event subscription"

    def _topics(self) -> list[str]:
        return [
            str(entry["id"])
            for place in self.subscriptions
            for entry in self._arm.each(
                f"{place}/providers/Microsoft.EventGrid/systemTopics", "2025-02-15"
            )
        ]

    def _subscribed(self, topic: str) -> list[Json]:
        return list(self._arm.each(f"{topic}/eventSubscriptions", "2025-02-15"))

    def _others_on(self, topic: str, plan: Plan) -> bool:
        return any(str(entry["id"]) not in plan.going for entry in self._subscribed(topic))

    def _diagnostics(self, plan: Plan) -> None:
        """Plan the diagnostic settings of what goes."""
        for place in [*plan.going]:
            for below in _WITH_SETTINGS.get(type_of(place), ()):
                listed = f"{place}{below}/providers/Microsoft.Insights/diagnosticSettings"
                version = VERSIONS["microsoft.insights/diagnosticsettings"]
                for entry in self._arm.each(listed, version):
                    plan.going[f"{listed}/{entry['name']}"] = "diagnostic setting"

    def _locks(self, plan: Plan) -> None:
        """Plan the locks that would keep something from going, of what is ours."""
        going = [f"{place}/".lower() for place in plan.going]
        ours = {place.lower() for place in (*self.resources, *plan.going)}
        for place in self.subscriptions:
            for lock in self._arm.each(
                f"{place}/providers/Microsoft.Authorization/locks", "2020-05-01"
            ):
                scope = str(lock["id"]).lower().partition("/providers/microsoft.authorization/l")[0]
                if scope in ours and any(entry.startswith(f"{scope}/") for entry in going):
                    plan.going[str(lock["id"])] = f"lock of {scope.rpartition('/')[2]}"

    def _budgets(self, plan: Plan) -> None:
        """Plan the budgets: they have no tags, and no list of resources names them."""
        for group in self.groups:
            place = f"{group}/providers/Microsoft.Consumption/budgets/acr-rebuilder-{self._token}"
            if self._arm.get(place) is not None:
                plan.going[place] = "budget"

    def _groups(self, plan: Plan) -> None:
        """Plan the product's group if nothing is left in it."""
        going = {place.lower() for place in plan.going}
        for group in self.groups:
            rest = [
                str(entry["id"])
                for entry in self._arm.each(f"{group}/resources", "2024-11-01")
                if str(entry["id"]).lower() not in going and not _made_by_azure(entry)
            ]
            if rest:
                plan.staying[group] = f"it holds {', '.join(r.rpartition('/')[2] for r in rest)}"
            else:
                plan.going[group] = "resource group"


def _made_by_azure(entry: Json) -> bool:
    kind, name = str(entry["type"]).lower(), str(entry["name"]).lower()
    return kind in _MADE_BY_AZURE or (kind == "microsoft.insights/actiongroups" and name == _SMART)


def _tag(entry: Json, name: str) -> str:
    return str((entry.get("tags") or {}).get(name) or "")


def _ids(text: object) -> list[str]:
    return str(text or "").replace(",", " ").split()


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan, and do it if asked to; the exit code says whether all that was to go is gone."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--environment", required=True, metavar="ENV")
    parser.add_argument("--subscription", default="", help="its id; by default the Azure CLI's")
    parser.add_argument("--token", default="", help="where several environments have one name")
    parser.add_argument("--dropped", action="store_true")
    parser.add_argument("--registries", action="store_true")
    parser.add_argument("--yes", action="store_true")
    given = parser.parse_args(arguments)
    try:
        arm = Arm()
        where = given.subscription or arm.subscription
        environment = Environment(arm, given.environment, where, given.token)
        plan = (
            environment.dropped()
            if given.dropped
            else environment.all_of_it(registries=given.registries)
        )
        for place, reason in sorted(plan.staying.items()):
            print(f"stays: {place}: {reason}")
        for place in plan.ordered():
            print(f"{'deleting' if given.yes else 'would go'}: {plan.going[place]}: {place}")
            if given.yes:
                arm.delete(place)
    except FailedCommandError as error:
        print(error, file=sys.stderr)
        return 1
    done = "deleted" if given.yes else "would go: --yes deletes it"
    print(f"{len(plan.going)} {done}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
