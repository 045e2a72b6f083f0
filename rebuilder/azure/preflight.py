"""What Azure tells of a set-up, by plain requests to ARM.

Event Grid, Web and Storage are asked for little and by a person only, so there is no SDK of theirs
among what is deployed. Source of the paths and shapes: the REST references of the providers.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy
from azure.core.rest import HttpRequest, HttpResponse
from azure.storage.queue import QueueServiceClient

from rebuilder.azure._clients import TIMEOUTS
from rebuilder.azure._errors import answered, translated
from rebuilder.azure._places import host_of, is_of
from rebuilder.azure.identity import credential, registry_audience
from rebuilder.azure.storage._storage import connected, connection_string, endpoint
from rebuilder.azure.throttle import ReadRetryPolicy
from rebuilder.core.acr.access import Permission, goes_by_repository
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.doctor.setup import (
    EventSubscription,
    RegistrySetup,
    RoleDefinition,
    Site,
    Topic,
)
from rebuilder.core.foreign_json import read_object
from rebuilder.core.rebuilds.messages import QUEUES
from rebuilder.errors import Denied, InvalidJson, NotFound, RebuilderError, Refused
from rebuilder.settings import SQLITE, Settings

type Json = Mapping[str, Any]

_AUTHORIZATION = "/providers/Microsoft.Authorization"
_EVENT_GRID = "/providers/Microsoft.EventGrid"
_STORAGE = "/providers/Microsoft.Storage/storageAccounts"
_ACR = "2025-11-01"
_ROLES = "2022-04-01"
_EVENTS = "2025-02-15"
_WEB = "2025-03-01"
_ACCOUNTS = "2025-08-01"
_IDENTITIES = "2024-11-30"
_STORAGE_SCOPE = "https://storage.azure.com/.default"


class ArmPreflight:
    """A Preflight; see rebuilder.ports.

    Args:
        identity: Who asks.
        settings: For ARM's address, the registries and the storage account.
    """

    def __init__(self, identity: TokenCredential, settings: Settings) -> None:
        self._identity = identity
        self._settings = settings
        self._scope = f"{settings.arm_endpoint}/.default"
        self._client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
            settings.arm_endpoint,
            policies=[ReadRetryPolicy(), BearerTokenCredentialPolicy(identity, self._scope)],
            **TIMEOUTS,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def tokens(self) -> list[tuple[str, RebuilderError]]:
        """Ask for a token for each service; see Preflight."""
        audience = registry_audience(self._settings.arm_endpoint)
        asked = [("ARM", self._scope), ("the registries", f"{audience}/.default")]
        if not self._settings.storage:
            asked.append(("storage", _STORAGE_SCOPE))
        refused: list[tuple[str, RebuilderError]] = []
        for service, scope in asked:
            try:
                with translated(f"get a token for {service}"):
                    self._identity.get_token(scope)
            except RebuilderError as error:
                refused.append((service, error))
        return refused

    def caller(self) -> str:
        """Return the object id of who asks; see Preflight."""
        with translated("get a token for ARM"):
            token = self._identity.get_token(self._scope).token
        # Only read, for its owner's name: ARM is who checks it.
        claims = token.split(".")[1] if token.count(".") > 1 else ""
        try:
            found = read_object(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        except (InvalidJson, ValueError) as error:
            raise Denied("ARM's token does not say whose it is: give --identity") from error
        return str(found.get("oid") or "")

    def principal(self, name: str) -> str:
        """Return an identity's object id; see Preflight."""
        if name.startswith("/"):
            if "/microsoft.managedidentity/" in name.lower():
                found = self._get(name, _IDENTITIES)
                return str(_properties(found).get("principalId") or "")
            principals = {principal for _, principal in self.site(name).principals}
            if len(principals) != 1:
                raise NotFound(f"{name} has {len(principals)} identities: name one by its id")
            return principals.pop()
        registries = (*self._settings.base_registries, *self._settings.task_registries)
        for subscription in sorted({registry.subscription for registry in registries}):
            place = f"/subscriptions/{subscription}/providers/Microsoft.ManagedIdentity"
            # Who may not list identities has to name theirs by the object id.
            with suppress(Denied, NotFound):
                for found in self._list(f"{place}/userAssignedIdentities", _IDENTITIES):
                    properties = _properties(found)
                    if str(properties.get("clientId")).lower() == name.lower():
                        return str(properties["principalId"])
        return name.lower()

    def registry(self, registry: RegistryId) -> RegistrySetup:
        """Read how a registry is set up; see Preflight."""
        found = _properties(self._get(str(registry), _ACR))
        rules = found.get("networkRuleSet") or {}
        closed = "disabled" in str(found.get("publicNetworkAccess")).lower()
        return RegistrySetup(
            registry,
            str(found.get("loginServer") or ""),
            abac=goes_by_repository(str(found.get("roleAssignmentMode"))),
            closed=closed or str(rules.get("defaultAction")).lower() == "deny",
            trusted=str(found.get("networkRuleBypassOptions")).lower() == "azureservices",
            tasks_pass=bool(found.get("networkRuleBypassAllowedForTasks")),
        )

    def permissions(self, scope: str, principal: str) -> list[Permission]:
        """Return what an identity holds at a scope; see Preflight."""
        if not principal:
            found = self._list(f"{scope}{_AUTHORIZATION}/permissions", _ROLES)
            return [_permission(entry) for entry in found]
        return self._held(scope, principal, below=False)

    def permissions_below(self, scope: str, principal: str) -> list[Permission]:
        """Return what an identity holds at a scope or at parts of it; see Preflight."""
        return self._held(scope, principal or self.caller(), below=True)

    def _held(self, scope: str, principal: str, *, below: bool) -> list[Permission]:
        query = {"$filter": f"assignedTo('{principal}')"}
        assigned = self._list(f"{scope}{_AUTHORIZATION}/roleAssignments", _ROLES, query)
        inner = f"{scope.rstrip('/')}/".lower()
        roles = {
            str(properties["roleDefinitionId"]).rpartition("/")[2].lower()
            for properties in map(_properties, assigned)
            if below or not str(properties.get("scope")).lower().startswith(inner)
        }
        return [
            _permission(entry)
            for role in sorted(roles)
            for entry in _properties(
                self._get(f"{scope}{_AUTHORIZATION}/roleDefinitions/{role}", _ROLES)
            ).get("permissions")
            or ()
        ]

    def roles(self, scope: str) -> list[RoleDefinition]:
        """Return the roles that may be assigned at a scope; see Preflight."""
        found = map(_properties, self._list(f"{scope}{_AUTHORIZATION}/roleDefinitions", _ROLES))
        return [
            RoleDefinition(
                str(role.get("roleName") or ""),
                str(role.get("type")).lower() == "customrole",
                tuple(map(_permission, role.get("permissions") or ())),
            )
            for role in found
        ]

    def topics(self, registry: RegistryId) -> list[Topic]:
        """Return the system topics of a registry; see Preflight."""
        place = f"/subscriptions/{registry.subscription}{_EVENT_GRID}/systemTopics"
        return [
            Topic(str(found["id"]), str(registry), tuple(sorted(p for _, p in _identities(found))))
            for found in self._list(place, _EVENTS)
            if str(_properties(found).get("source")).lower().rstrip("/") == str(registry)
        ]

    def subscriptions(
        self, registry: RegistryId, topics: Sequence[Topic]
    ) -> list[EventSubscription]:
        """Return the subscriptions to a registry's events; see Preflight."""
        found: dict[str, EventSubscription] = {}
        for topic in (*topics, None):
            place = topic.id if topic else f"{registry}{_EVENT_GRID}"
            for entry in self._list(f"{place}/eventSubscriptions", _EVENTS):
                made = _subscription(entry, topic)
                # ARM shows those of a topic at the registry, too.
                found.setdefault(made.name.lower(), made)
        return list(found.values())

    def site(self, resource_id: str) -> Site:
        """Read a function app; see Preflight."""
        found = self._get(resource_id, _WEB)
        properties = _properties(found)
        return Site(
            str(found.get("id") or resource_id),
            str(properties.get("state") or ""),
            _identities(found),
            integrated=bool(properties.get("virtualNetworkSubnetId")),
        )

    def functions(self, site: str) -> list[str]:
        """Return the names of a function app's functions; see Preflight."""
        found = self._list(f"{site}/functions", _WEB)
        return [str(entry.get("name")).rpartition("/")[2] for entry in found]

    def storage_account(self, subscription: str, name: str) -> str | None:
        """Return the resource id of a storage account; see Preflight."""
        found = self._list(f"/subscriptions/{subscription}{_STORAGE}", _ACCOUNTS)
        ids = (str(entry["id"]) for entry in found)
        return next((i for i in ids if i.rpartition("/")[2].lower() == name.lower()), None)

    def has_container(self, account: str, container: str) -> bool:
        """Tell whether a storage account has a container; see Preflight."""
        place = f"{account}/blobServices/default/containers/{quote(container)}"
        try:
            self._get(place, _ACCOUNTS)
        except NotFound:
            return False
        return True

    def peek(self) -> None:
        """Look into every queue; see Preflight."""
        if self._settings.storage.startswith(SQLITE):
            return
        if text := connection_string(self._settings):
            make = partial(QueueServiceClient.from_connection_string, **TIMEOUTS)
            service = connected(make, text)
        else:
            own = credential(self._settings.storage_client_id)
            service = QueueServiceClient(endpoint(self._settings, "queue"), own, **TIMEOUTS)
        with service, translated("look into the queues"):
            for name in QUEUES:
                # A queue is made on first use.
                with suppress(ResourceNotFoundError):
                    service.get_queue_client(name).peek_messages(1)

    def _get(self, path: str, version: str, query: Mapping[str, str] | None = None) -> Json:
        asked = urlencode({"api-version": version, **(query or {})})
        return self._ask(f"{self._settings.arm_endpoint}{path}?{asked}", path)

    def _list(
        self, path: str, version: str, query: Mapping[str, str] | None = None
    ) -> Iterator[Json]:
        page = self._get(path, version, query)
        yield from page.get("value") or ()
        while following := str(page.get("nextLink") or ""):
            if not is_of(following, self._settings.arm_endpoint):
                raise Refused("InvalidPlace", f"{path}: {host_of(following)} is not ARM")
            page = self._ask(following, path)
            yield from page.get("value") or ()

    def _ask(self, url: str, path: str) -> Json:
        with answered(f"read {path}"):
            response = self._client.send_request(HttpRequest("GET", url))
            response.raise_for_status()
            found: Json = dict(response.json())
            return found


def _properties(resource: Json) -> Json:
    return resource.get("properties") or {}


def _permission(entry: Json) -> Permission:
    kinds = ("actions", "notActions", "dataActions", "notDataActions")
    return Permission(*(tuple(entry.get(kind) or ()) for kind in kinds))


def _identities(resource: Json) -> tuple[tuple[str, str], ...]:
    """Return the object ids of a resource's identities, by client id."""
    identity = resource.get("identity") or {}
    found = [("", str(identity["principalId"]))] if identity.get("principalId") else []
    found += [
        (str(one.get("clientId") or ""), str(one.get("principalId") or ""))
        for one in (identity.get("userAssignedIdentities") or {}).values()
    ]
    return tuple(found)


def _subscription(entry: Json, topic: Topic | None) -> EventSubscription:
    properties = _properties(entry)
    # With an identity the destination stands one level below.
    delivery = properties.get("deliveryWithResourceIdentity") or properties
    destination = delivery.get("destination") or {}
    details = destination.get("properties") or {}
    chosen, retry = properties.get("filter") or {}, properties.get("retryPolicy") or {}
    letters = properties.get("deadLetterWithResourceIdentity") or properties
    place = (letters.get("deadLetterDestination") or {}).get("properties") or {}
    kind = str(destination.get("endpointType")).lower()
    return EventSubscription(
        str(entry["name"]),
        topic,
        str(details.get("resourceId") or "") if kind == "azurefunction" else "",
        str(details.get("endpointBaseUrl") or "") if kind == "webhook" else "",
        frozenset(chosen.get("includedEventTypes") or ()) - {"All"},
        str(chosen.get("subjectBeginsWith") or ""),
        str(chosen.get("subjectEndsWith") or ""),
        len(chosen.get("advancedFilters") or ()),
        int(retry.get("maxDeliveryAttempts") or 30),
        int(retry.get("eventTimeToLiveInMinutes") or 1440),
        (str(place["resourceId"]), str(place["blobContainerName"])) if place else None,
        ready=str(properties.get("provisioningState")).lower() == "succeeded",
        queue=(str(details.get("resourceId") or ""), str(details.get("queueName") or ""))
        if kind == "storagequeue"
        else None,
    )
