"""One deployment: its resources evaluated and put in the order of what they refer to.

A resource is put when another one needs it, so `dependsOn` and references give the order. A
prediction, for validate and what-if, evaluates the same without putting anything.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from copy import replace
from dataclasses import dataclass, field
from typing import Any, cast

from localcloud.arm.errors import ArmError, wire_error
from localcloud.arm.model import Arm
from localcloud.directory import TENANT_ID, Principal
from localcloud.state import Json, azure_time
from localcloud.templates import parameters
from localcloud.templates.evaluation import Scope, Unknown, evaluate, turns
from localcloud.templates.expressions import TemplateError

type Value = Any
type Deploy = Callable[[Arm, Principal, Place, Json, Json], Json]

DEPLOYMENTS = "Microsoft.Resources/deployments"
_GROUPS = "Microsoft.Resources/resourceGroups"
_NOT_SENT = frozenset(
    {
        *("type", "apiVersion", "name", "dependsOn", "condition", "copy", "scope", "existing"),
        *("subscriptionId", "resourceGroup", "comments", "metadata"),
    }
)


@dataclass(slots=True)
class Place:
    """Where a deployment is made.

    Attributes:
        subscription: The subscription's id.
        group: The resource group's name; None at the subscription.
        name: The deployment's name.
        location: Its region.
    """

    subscription: str
    group: str | None
    name: str
    location: str

    @property
    def scope(self) -> str:
        """The resource id of the subscription or the group."""
        base = f"/subscriptions/{self.subscription}"
        return f"{base}/resourceGroups/{self.group}" if self.group else base

    @property
    def id(self) -> str:
        """The deployment's own resource id."""
        return f"{self.scope}/providers/{DEPLOYMENTS}/{self.name}"


@dataclass(slots=True)
class Instance:
    """A resource of a template, or one turn of its loop."""

    symbol: str
    index: int | None
    source: Json
    scope: Scope
    id: str = ""
    name: str = ""
    unknown: bool = False
    there: bool = True
    state: str = "new"
    body: Json = field(default_factory=dict)
    answer: Json = field(default_factory=dict)
    failure: ArmError | None = None

    @property
    def type(self) -> str:
        """Its type."""
        return str(self.source["type"]).partition("@")[0]

    @property
    def version(self) -> str:
        """Its API version."""
        return str(self.source.get("apiVersion") or str(self.source["type"]).partition("@")[2])


class DeploymentFailed(ArmError):
    """Resources could not be deployed; `details` has ARM's errors for each."""

    def __init__(self, details: list[Json]) -> None:
        super().__init__(
            409,
            "DeploymentFailed",
            "At least one resource deployment operation failed. Please list deployment operations"
            " for details. Please see https://aka.ms/arm-deployment-operations for usage details.",
        )
        self.details = details


class Skipped(ArmError):
    """What a resource depends on failed."""


def invalid(error: TemplateError) -> ArmError:
    """Return ARM's answer to a template that it refuses."""
    message = f"Deployment template validation failed: '{error}'."
    return ArmError(400, "InvalidTemplate", message)


class Engine:
    """A deployment under way.

    Args:
        arm: Where resources are put.
        principal: Who deploys.
        place: Where.
        properties: The deployment's `properties`, as sent.
        deploy: What deploys nested templates; None if nothing is to be put.
    """

    def __init__(
        self,
        arm: Arm,
        principal: Principal,
        place: Place,
        properties: Json,
        deploy: Deploy | None = None,
    ) -> None:
        template = properties.get("template")
        if not isinstance(template, dict):
            raise ArmError(
                400,
                "InvalidRequestContent",
                "The local cloud takes a template in the request only.",
            )
        self._arm, self._principal, self.place = arm, principal, place
        self.template: Json = template
        self._deploy, self.predicts = deploy, deploy is None
        self.operations: list[Json] = []
        self.nested: list[Engine] = []
        self._variables: dict[str, Value] = {}
        own = {
            f"{functions['namespace']}.{name}".lower(): function
            for functions in template.get("functions") or []
            for name, function in functions["members"].items()
        }
        plain = Scope(self._names(), own)
        created = {"newguid": lambda: str(uuid.uuid4()), "utcnow": self._now}
        try:
            first = Scope({**plain.names, **created}, own)
            self.parameters = parameters.resolve(
                template, properties.get("parameters") or {}, first
            )
        except TemplateError as error:
            raise invalid(error) from error
        self._scope = plain
        self.instances = list(self._expand())

    # What expressions may ask for.

    def _names(self) -> dict[str, Callable[..., Value]]:
        return {
            "parameters": self._parameter,
            "variables": self._variable,
            "subscription": self._subscription,
            "resourcegroup": self._group,
            "deployment": self._deployment,
            "tenant": lambda: {"tenantId": TENANT_ID, "countryCode": "", "displayName": ""},
            "environment": _environment,
            "deployer": self._deployer,
            "resourceid": self._resource_id,
            "subscriptionresourceid": self._subscription_resource_id,
            "tenantresourceid": lambda kind, *names: _id("", kind, names),
            "extensionresourceid": lambda scope, kind, *names: _id(scope, kind, names),
            "reference": self._reference,
            "references": self._references,
            "resourceinfo": self._info,
            "list*": self._list,
        }

    def _now(self, pattern: str | None = None) -> str:
        if pattern is not None:
            raise TemplateError("The local cloud does not know the formats of utcNow().")
        return self._arm.clock.now().strftime("%Y%m%dT%H%M%SZ")

    def _parameter(self, name: str) -> Value:
        if name.lower() not in self.parameters:
            raise TemplateError(f"The template parameter '{name}' is not found.")
        return self.parameters[name.lower()]

    def _variable(self, name: str) -> Value:
        key = name.lower()
        if key not in self._variables:
            given: Json = self.template.get("variables") or {}
            loops = {loop["name"].lower(): loop for loop in given.get("copy") or []}
            if key in loops:
                self._variables[key] = turns(loops[key], self._scope)
            else:
                found = next((n for n in given if n.lower() == key and n != "copy"), None)
                if found is None:
                    raise TemplateError(f"The template variable '{name}' is not found.")
                self._variables[key] = evaluate(given[found], self._scope)
        return self._variables[key]

    def _subscription(self) -> Json:
        key = self.place.subscription
        name = self._arm.state.subscriptions.get(key.lower(), "")
        return {
            "id": f"/subscriptions/{key}",
            "subscriptionId": key,
            "tenantId": TENANT_ID,
            "displayName": name,
        }

    def _group(self) -> Json:
        if not self.place.group:
            raise TemplateError(
                "The template function 'RESOURCEGROUP' is not expected at this location."
            )
        found = self._arm.state.resource(self.place.scope)
        if found is None:
            raise Unknown("resourceGroup()")
        return {
            "id": found.id,
            "name": found.name,
            "type": _GROUPS,
            "location": found.location,
            "tags": found.tags,
            "properties": found.properties,
        }

    def _deployment(self) -> Json:
        place = self.place
        shown = {"template": self.template, "templateHash": "", "mode": "Incremental"}
        where = {} if place.group else {"location": place.location}
        return {"name": place.name, "id": place.id, "properties": shown, **where}

    def _deployer(self) -> Json:
        principal = self._principal
        return {
            "objectId": principal.object_id,
            "tenantId": TENANT_ID,
            "userPrincipalName": principal.name if principal.kind == "User" else "",
        }

    def _resource_id(self, *parts: str) -> str:
        start = next(i for i, part in enumerate(parts) if "/" in part)
        kind, names = parts[start], parts[start + 1 :]
        subscription, group = self.place.subscription, self.place.group
        if start == 1 and not group:
            subscription = parts[0]
        elif start == 1:
            group = parts[0]
        elif start > 1:
            subscription, group = parts[0], parts[1]
        if kind.lower() == _GROUPS.lower():
            return f"/subscriptions/{subscription}/resourceGroups/{names[0]}"
        base = f"/subscriptions/{subscription}"
        return _id(f"{base}/resourceGroups/{group}" if group else base, kind, names)

    def _subscription_resource_id(self, *parts: str) -> str:
        start = 0 if "/" in parts[0] else 1
        subscription = parts[0] if start else self.place.subscription
        kind, names = parts[start], parts[start + 1 :]
        if kind.lower() == _GROUPS.lower():
            return f"/subscriptions/{subscription}/resourceGroups/{names[0]}"
        return _id(f"/subscriptions/{subscription}", kind, names)

    def _list(self, function: str, name: str, version: str, body: Json | None = None) -> Value:
        found = self._match(name)
        resource_id = found[0].id if found else name
        if found:
            self._settle(found[0])
        if self.predicts:
            raise Unknown(function)
        status, answer = self._arm.router.call(
            self._principal, "POST", f"{resource_id}/{function}", version, body or {}
        )
        del status
        return answer

    def _references(self, symbol: str, full: str = "") -> list[Value]:
        return [self._shown(instance, full) for instance in self._match(symbol)]

    def _reference(self, name: str, version: str = "", full: str = "") -> Value:
        if version.lower() == "full":
            version, full = "", version
        found = self._match(name)
        if found:
            return self._shown(found[0], full)
        if not name.startswith("/"):
            raise TemplateError(
                f"The resource '{name}' is not defined in the template. Please see"
                " https://aka.ms/arm-syntax for usage details."
            )
        return self._part(self._read(name, version), full)

    def _info(self, name: str) -> Value:
        found = self._match(name)
        if not found:
            raise TemplateError(f"The resource '{name}' is not defined in the template.")
        instance = found[0]
        self._prepare(instance)
        if instance.unknown:
            raise Unknown(name)
        return {
            "id": instance.id,
            "name": instance.name,
            "type": instance.type,
            "apiVersion": instance.version,
        }

    def _shown(self, instance: Instance, full: str) -> Value:
        self._settle(instance)
        if instance.failure is not None:
            raise Skipped(409, "Skipped", f"'{instance.id}' was not deployed.")
        if not instance.answer:
            if not instance.there:
                raise TemplateError(f"The resource '{instance.id}' is not deployed: its condition.")
            instance.answer = self._read(instance.id, instance.version)
        return self._part(instance.answer, full)

    @staticmethod
    def _part(answer: Json, full: str) -> Value:
        return answer if full.lower() == "full" else answer.get("properties") or {}

    def _read(self, resource_id: str, version: str) -> Json:
        try:
            return self._arm.router.call(self._principal, "GET", resource_id, version, {})[1]
        except ArmError as error:
            if self.predicts and error.status == 404:  # noqa: PLR2004 - HTTP
                raise Unknown(resource_id) from error
            raise

    # The resources.

    def _expand(self) -> Iterator[Instance]:
        given = self.template.get("resources") or []
        listed = given.items() if isinstance(given, dict) else (("", entry) for entry in given)
        for symbol, source in listed:
            loop = source.get("copy")
            if loop is None:
                yield Instance(symbol, None, source, self._scope)
                continue
            try:
                count = evaluate(loop["count"], self._scope)
            except TemplateError as error:
                raise invalid(error) from error
            for index in range(count):
                scope = self._scope.within(loop["name"], index, resource=True)
                yield Instance(symbol or loop["name"], index, source, scope)

    def _match(self, name: str) -> list[Instance]:
        """Return the resources that a symbol, an item of a loop, a name or an id stands for."""
        wanted = name.lower()
        found = [
            instance
            for instance in self.instances
            if wanted in (instance.symbol.lower(), f"{instance.symbol}[{instance.index}]".lower())
        ]
        if found:
            return found
        for instance in self.instances:
            self._prepare(instance)
        return [
            instance
            for instance in self.instances
            if not instance.unknown and wanted in (instance.id.lower(), instance.name.lower())
        ]

    def _prepare(self, instance: Instance) -> None:
        """Find out the name, the id and whether the resource is to be there."""
        if instance.id or instance.unknown or instance.state == "preparing":
            return
        instance.state, source, scope = "preparing", instance.source, instance.scope
        try:
            instance.there = bool(evaluate(source.get("condition", True), scope))
            instance.name = evaluate(source["name"], scope)
            instance.id = self._id_of(instance)
        except Unknown:
            instance.unknown = True
            instance.name = str(source["name"])
            instance.id = _id(self.place.scope, instance.type, (instance.name,))
        finally:
            instance.state = "new"

    def _id_of(self, instance: Instance) -> str:
        source, kind, names = instance.source, instance.type, instance.name.split("/")
        subscription, group = self.place.subscription, self.place.group
        if "subscriptionId" in source:
            subscription = evaluate(source["subscriptionId"], instance.scope)
            group = None
        if "resourceGroup" in source:
            group = evaluate(source["resourceGroup"], instance.scope)
        base = f"/subscriptions/{subscription}"
        if kind.lower() == _GROUPS.lower():
            return f"{base}/resourceGroups/{names[0]}"
        base = f"{base}/resourceGroups/{group}" if group else base
        if "scope" in source:
            scope = evaluate(source["scope"], instance.scope)
            if not scope.startswith("/"):
                provider, *rest = scope.split("/")
                scope = f"{base}/providers/{'/'.join([provider, *rest])}"
            base = scope.rstrip("/")
        return _id(base, kind, names)

    def run(self) -> Json:
        """Put every resource; return the outputs.

        Raises:
            ArmError: The template is not valid, or resources could not be deployed.
        """
        for instance in self.instances:
            try:
                self._settle(instance)
            except TemplateError as error:
                raise self._unprocessed(instance, error) from error
        failed = [i.failure for i in self.instances if i.failure is not None]
        if failed:
            raise DeploymentFailed([wire_error(e) for e in failed if not isinstance(e, Skipped)])
        try:
            return self._outputs()
        except TemplateError as error:
            raise ArmError(400, "DeploymentOutputEvaluationFailed", str(error)) from error

    @staticmethod
    def _unprocessed(instance: Instance, error: TemplateError) -> ArmError:
        return ArmError(
            400,
            "InvalidTemplate",
            "Unable to process template language expressions for resource"
            f" '{instance.id or instance.symbol or instance.source['name']}' at line '1' and column"
            f" '1'. '{error}'",
        )

    def _outputs(self) -> Json:
        found: Json = {}
        definitions = self.template.get("definitions") or {}
        for name, output in (self.template.get("outputs") or {}).items():
            try:
                if not evaluate(output.get("condition", True), self._scope):
                    continue
                if "copy" in output:
                    value: Value = turns(output["copy"], self._scope, "")
                else:
                    value = evaluate(output["value"], self._scope)
            except Unknown as unknown:
                value = unknown
            kind = parameters.kind_of(output, definitions)["type"]
            found[name] = {"type": kind[0].upper() + kind[1:], "value": value}
        return found

    def _settle(self, instance: Instance) -> None:
        """Put a resource, after what it depends on; once."""
        if instance.state in ("done", "reading"):
            return
        if instance.state == "busy":
            raise TemplateError(
                f"Circular dependency detected on resource: '{instance.id}'. Please see"
                " https://aka.ms/arm-syntax-resources for usage details."
            )
        self._prepare(instance)
        if instance.source.get("existing") or not instance.there:
            instance.state = "done"
            return
        instance.state = "busy"
        try:
            self._wait_for(instance)
            scope = instance.scope
            if self.predicts:
                scope = replace(scope, keeps_unknown=True)
            if instance.type.lower() == DEPLOYMENTS.lower():
                instance.answer = self._deploy_nested(instance)
            else:
                instance.body = self._body(instance, scope)
                self._put(instance)
        except ArmError as error:
            if self.predicts or error.code == "InvalidTemplate":
                raise
            instance.failure = error
            if not isinstance(error, Skipped):
                self._record(instance, error)
        finally:
            instance.state = "done"

    def _wait_for(self, instance: Instance) -> None:
        for name in instance.source.get("dependsOn") or []:
            for needed in self._match(evaluate(name, instance.scope)):
                self._settle(needed)
                if needed.failure is not None:
                    raise Skipped(409, "Skipped", f"'{needed.id}' was not deployed.")

    @staticmethod
    def _body(instance: Instance, scope: Scope) -> Json:
        sent = {name: v for name, v in instance.source.items() if name not in _NOT_SENT}
        return cast("Json", evaluate(sent, scope))

    def _put(self, instance: Instance) -> None:
        if self.predicts:
            if not instance.unknown:
                self._arm.router.preflight(self._principal, instance.id, instance.version)
            return
        status, instance.answer = self._arm.router.call(
            self._principal, "PUT", instance.id, instance.version, instance.body
        )
        self._record(instance, None, status)

    def _deploy_nested(self, instance: Instance) -> Json:
        given: Json = instance.source["properties"]
        options = given.get("expressionEvaluationOptions") or {}
        if str(options.get("scope", "outer")).lower() != "inner":
            raise invalid(
                TemplateError("The local cloud evaluates nested templates in inner scope only")
            )
        parts = instance.id.split("/")
        group = parts[4] if parts[3].lower() == "resourcegroups" else None
        location = instance.source.get("location") or self.place.location
        place = Place(parts[2], group, instance.name, evaluate(location, instance.scope))
        values: Json = {}
        for name, entry in (given.get("parameters") or {}).items():
            try:
                values[name] = evaluate(entry, instance.scope)
            except Unknown as unknown:
                values[name] = {"value": unknown}
        sent = {"template": given["template"], "parameters": values, "mode": "Incremental"}
        if self._deploy is None:
            inner = Engine(self._arm, self._principal, place, sent)
            self.nested.append(inner)
            return {"id": place.id, "properties": {"outputs": inner.run()}}
        self._arm.router.preflight(self._principal, place.id, instance.version)
        answer = self._deploy(self._arm, self._principal, place, sent, {})
        error = answer["properties"].get("error")
        if error is not None:
            raise _nested_error(error)
        self._record(instance, None, 200)
        return answer

    def _record(self, instance: Instance, error: ArmError | None, status: int = 0) -> None:
        key = uuid.uuid4().hex[:16].upper()
        names = {200: "OK", 201: "Created", 202: "Accepted"}
        refused = {400: "BadRequest", 403: "Forbidden", 404: "NotFound", 409: "Conflict"}
        told: Json = {
            "provisioningOperation": "Create",
            "provisioningState": "Failed" if error else "Succeeded",
            "timestamp": azure_time(self._arm.clock.now()),
            "duration": "PT0S",
            "statusCode": refused.get(error.status, "Conflict") if error else names.get(status),
            "targetResource": {
                "id": instance.id,
                "resourceType": instance.type,
                "resourceName": instance.name,
            },
        }
        if error:
            told["statusMessage"] = {"status": "Failed", "error": wire_error(error)}
        wire = {"id": f"{self.place.id}/operations/{key}", "operationId": key, "properties": told}
        self.operations.append(wire)

    def secrets(self) -> frozenset[str]:
        """Every text that secure parameters hold, those of nested templates too."""
        definitions = self.template.get("definitions") or {}
        found: set[str] = set()
        for name, schema in (self.template.get("parameters") or {}).items():
            if parameters.is_secure(schema, definitions):
                found |= set(_texts(self.parameters[name.lower()]))
        return frozenset(found).union(*(inner.secrets() for inner in self.nested))

    def predicted(self) -> Iterator[Instance]:
        """Every resource that would be put, those of nested templates too."""
        for instance in self.instances:
            nested = instance.type.lower() == DEPLOYMENTS.lower()
            if instance.there and not nested and not instance.source.get("existing"):
                yield instance
        for inner in self.nested:
            yield from inner.predicted()


def _texts(value: Value) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, dict | list):
        for held in value.values() if isinstance(value, dict) else value:
            yield from _texts(held)


def _nested_error(error: Json) -> ArmError:
    made = ArmError(409, error["code"], error["message"])
    made.details = error.get("details") or []
    return made


def _id(scope: str, kind: str, names: tuple[str, ...] | list[str]) -> str:
    provider, *types = kind.split("/")
    if len(types) != len(names):
        raise TemplateError(
            f"The type '{kind}' and the name '{'/'.join(names)}' have incorrect segment lengths."
        )
    pairs = "/".join(f"{one}/{name}" for one, name in zip(types, names, strict=True))
    return f"{scope}/providers/{provider}/{pairs}"


def _environment() -> Json:
    return {
        "name": "AzureCloud",
        "portal": "https://portal.azure.com",
        "resourceManager": "https://management.azure.com/",
        "authentication": {
            "loginEndpoint": "https://login.microsoftonline.com/",
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "graph": "https://graph.windows.net/",
        "suffixes": {
            "acrLoginServer": ".azurecr.io",
            "keyvaultDns": ".vault.azure.net",
            "sqlServerHostname": ".database.windows.net",
            "storage": "core.windows.net",
        },
    }
