"""What a deployment would change: what is there beside what the template says.

Only what a template says is compared, so what a provider adds is no change. What a provider never
shows (a task's tokens and passwords) is none either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from localcloud.arm.deployments.engine import Engine, Instance
from localcloud.arm.errors import ArmError
from localcloud.arm.model import Arm
from localcloud.directory import Principal
from localcloud.state import Json

type Value = Any

_WRITE_ONLY = frozenset({"contextAccessToken", "sourceControlAuthProperties", "customRegistries"})


def changes(arm: Arm, principal: Principal, engine: Engine) -> list[Json]:
    """Return the changes of a prediction, in ARM's form."""
    found, seen = [], set()
    for instance in engine.predicted():
        seen.add(instance.id.lower())
        found.append(_change(arm, principal, instance))
    if engine.place.group:
        inside = f"{engine.place.scope}/".lower()
        kept = [registry.id for registry in arm.state.registries()]
        kept += [resource.id for resource in arm.state.every_resource()]
        for resource_id in kept:
            below = resource_id.lower().startswith(inside)
            if below and resource_id.lower() not in seen:
                found.append({"resourceId": resource_id, "changeType": "Ignore"})
    return [_hidden(change, engine.secrets()) for change in found]


def _hidden(value: Value, secrets: frozenset[str]) -> Value:
    """Return a value without what secure parameters hold."""
    if isinstance(value, dict):
        return {name: _hidden(held, secrets) for name, held in value.items()}
    if isinstance(value, list):
        return [_hidden(entry, secrets) for entry in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "*" * 7)
    return value


def _change(arm: Arm, principal: Principal, instance: Instance) -> Json:
    wire: Json = {"resourceId": instance.id, "symbolicName": instance.symbol or None}
    if instance.unknown:
        reason = "Its name or condition is known only when it is deployed."
        return {**wire, "changeType": "Unsupported", "unsupportedReason": reason}
    after = {
        "apiVersion": instance.version,
        "id": instance.id,
        "name": instance.name.rpartition("/")[2],
        "type": instance.type,
        **instance.body,
    }
    try:
        before = _held(arm, principal, instance)
    except ArmError as error:
        if error.status != 404:  # noqa: PLR2004 - HTTP
            raise
        return {**wire, "changeType": "Create", "before": None, "after": after}
    delta = list(_deltas(before, instance.body))
    kind = "Modify" if delta else "NoChange"
    shown = {**before, "apiVersion": instance.version}
    return {**wire, "changeType": kind, "before": shown, "after": after, "delta": delta}


def _held(arm: Arm, principal: Principal, instance: Instance) -> Json:
    """Return a resource as it is now."""
    if instance.id.lower().endswith("/config/appsettings"):
        # Who may deploy settings may list them; nobody can GET them.
        site = instance.id.rpartition("/config/")[0]
        arm.router.call(principal, "GET", site, instance.version, {})
        return arm.router.call(principal, "POST", f"{instance.id}/list", instance.version, {})[1]
    return arm.router.call(principal, "GET", instance.id, instance.version, {})[1]


def _deltas(before: Json, after: Json, path: str = "") -> Iterator[Json]:
    known = {name.lower(): value for name, value in before.items()}
    for name, value in after.items():
        held, here = known.get(name.lower()), f"{path}.{name}" if path else name
        if isinstance(held, dict) and isinstance(value, dict) and name not in _WRITE_ONLY:
            yield from _deltas(held, value, here)
        elif not _same(name, held, value):
            kind = "Create" if held is None else "Modify"
            wire = {"path": here, "propertyChangeType": kind}
            yield {**wire, "before": held, "after": value, "children": None}


def _same(name: str, held: Value, value: Value) -> bool:
    if held is None:
        return value in (None, {}, [], "") or name in _WRITE_ONLY
    if isinstance(held, dict) and isinstance(value, dict):
        if name in _WRITE_ONLY:
            return {k.lower() for k in held} == {k.lower() for k in value}
        secret = {"value"} if value.get("isSecret") else set()
        return not list(_deltas(held, {k: v for k, v in value.items() if k not in secret}))
    if isinstance(held, list) and isinstance(value, list):
        return len(held) == len(value) and _all_same(name, held, value)
    if isinstance(held, str) and isinstance(value, str):
        if name == "location":
            return _region(held) == _region(value)
        if value.startswith("/subscriptions/"):
            return held.lower() == value.lower()
    return bool(held == value)


def _all_same(name: str, held: Iterable[Value], value: Iterable[Value]) -> bool:
    return all(_same(name, one, other) for one, other in zip(held, value, strict=True))


def _region(name: str) -> str:
    return name.lower().replace(" ", "")
