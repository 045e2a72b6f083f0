"""Tasks."""

from __future__ import annotations

import copy
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.model import Arm, Route
from localcloud.arm.resources.registries import REGISTRY
from localcloud.arm.schemas import tasks as schemas
from localcloud.directory import TENANT_ID
from localcloud.state import Json, Registry, Task, acr_time, told

_TASK = rf"{REGISTRY}/tasks/(?P<t>[^/]+)"
_TYPE = "Microsoft.ContainerRegistry/registries/tasks"
_NAME = re.compile(r"[a-zA-Z0-9-_]{5,50}")
_DEFAULT_TIMEOUT = 3600


def find(arm: Arm, params: dict[str, str]) -> tuple[Registry, Task]:
    """Return the registry and the task of a path.

    Raises:
        ArmError: One of them is not there.
    """
    registry = arm.registry(params)
    task = registry.tasks.get(params["t"].lower())
    if task is None:
        raise not_found(f"{registry.id}/tasks/{params['t']}")
    return registry, task


def _wire(arm: Arm, registry: Registry, task: Task, *, secret: bool = False) -> Json:
    properties = copy.deepcopy(task.properties)
    if not secret:
        step = properties.get("step") or {}
        step.pop("contextAccessToken", None)
        for kind in ("arguments", "values"):
            if step.get(kind):
                step[kind] = shown(step[kind], named=arm.behaviour.shows_secret_arguments)
        triggers = properties.get("trigger") or {}
        # The address may hold a password, and often a token.
        if isinstance(triggers.get("baseImageTrigger"), dict):
            triggers["baseImageTrigger"].pop("updateTriggerEndpoint", None)
        for trigger in triggers.get("sourceTriggers") or []:
            (trigger.get("sourceRepository") or {}).pop("sourceControlAuthProperties", None)
        credentials = properties.get("credentials") or {}
        if credentials.get("customRegistries"):
            names = credentials["customRegistries"]
            credentials["customRegistries"] = dict.fromkeys(names)
    if isinstance(properties.get("step"), dict):
        # An empty list stays: it says that ACR has looked, and found nothing.
        properties["step"] = {n: v for n, v in properties["step"].items() if v is not None}
    wire: Json = {
        "id": f"{registry.id}/tasks/{task.name}",
        "name": task.name,
        "type": _TYPE,
        "location": task.location,
        "tags": task.tags,
        "properties": told(properties),
        "identity": task.identity,
        # Source: the list that Azure/azure-powershell shows of Get-AzContainerRegistryTask.
        "systemData": told({"lastModifiedAt": task.modified}),
    }
    return told(wire)


def shown(entries: list[Json], *, named: bool) -> list[Json]:
    """Return arguments or values as everybody who may read the task sees them.

    Args:
        entries: As they were set.
        named: Whether a secret one is named, without its value, or left out.
    """
    members = {
        False: frozenset({"name", "value", "isSecret"}),
        True: frozenset({"name", "isSecret"}),
    }
    return [
        {n: v for n, v in entry.items() if n in members[bool(entry.get("isSecret"))]}
        for entry in entries
        if named or not entry.get("isSecret")
    ]


def _identity(arm: Arm, task_id: str, wanted: Json | None, known: Json | None) -> Json | None:
    """Return the identity that a body asks for; identities of the task's own are made.

    Raises:
        ArmError: A user-assigned identity does not exist.
    """
    kind = (wanted or {}).get("type") or "None"
    mine = (known or {}).get("principalId")
    identity: Json = {"type": kind}
    if "SystemAssigned" in kind:
        principal = mine or arm.directory.create(task_id.rpartition("/registries/")[2], task_id)
        identity["principalId"] = principal if mine else principal.object_id
        identity["tenantId"] = TENANT_ID
    elif mine:
        arm.directory.delete(mine)
    if "UserAssigned" in kind:
        assigned = {}
        for name, value in ((wanted or {}).get("userAssignedIdentities") or {}).items():
            found = arm.state.resource(name)
            if value is None:  # as ARM's merge has it: taken away
                continue
            if found is None:
                raise ArmError(
                    400,
                    "FailedIdentityOperation",
                    f"Identity operation for resource '{task_id}' failed with error 'Failed to"
                    f" perform resource identity operation. Status: 'BadRequest'. Response: The"
                    f" identity '{name}' was not found.'.",
                )
            keys = ("principalId", "clientId")
            assigned[name] = {key: found.properties[key] for key in keys}
        identity["userAssignedIdentities"] = assigned
    return None if kind == "None" else identity


def _put(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    registry = arm.registry(params)
    if not _NAME.fullmatch(params["t"]):
        raise ArmError(400, "InvalidTaskName", f"The task name '{params['t']}' is invalid.")
    properties: Json = _stripped(copy.deepcopy(body.get("properties") or {}))
    _default_statuses(properties.get("trigger") or {})
    step = properties.get("step") or {}
    with arm.state.lock:
        known = registry.tasks.get(params["t"].lower())
        name = known.name if known else params["t"]
        made = now = acr_time(arm.clock.now())
        if known is not None and arm.behaviour.put_keeps_creation:
            made = known.properties["creationDate"]
        properties |= {
            "provisioningState": "Succeeded",
            "creationDate": made,
            "status": properties.get("status") or "Enabled",
            "timeout": properties.get("timeout") or _DEFAULT_TIMEOUT,
        }
        if step:
            kept = None
            if known is not None and arm.behaviour.put_keeps_dependencies:
                kept = (known.properties.get("step") or {}).get("baseImageDependencies")
            step["baseImageDependencies"] = kept
        held = known.identity if known else None
        task = Task(
            name,
            body.get("location", registry.location),
            properties,
            _identity(arm, f"{registry.id}/tasks/{name}", body.get("identity"), held),
            body.get("tags") or {},
            modified=now,
        )
        if known is not None:
            task.number = known.number
        registry.tasks[params["t"].lower()] = task
        _tell(arm, registry, task)
        # Not 201 for a new one: azure-cli shows a task that it created only if it is 200.
        return JSONResponse(_wire(arm, registry, task))


def _stripped(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a value without the members that are null, which say nothing."""
    if isinstance(value, dict):
        return {name: _stripped(held) for name, held in value.items() if held is not None}
    return [_stripped(item) for item in value] if isinstance(value, list) else value


def _default_statuses(triggers: Json) -> None:
    """Enable the triggers that do not say whether they are."""
    base = triggers.get("baseImageTrigger")
    listed = (*(triggers.get("sourceTriggers") or ()), *(triggers.get("timerTriggers") or ()))
    for trigger in (*([base] if base else []), *listed):
        trigger.setdefault("status", "Enabled")
    if base:
        base.setdefault("updateTriggerPayloadType", "Default")


def _patch(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    registry, task = find(arm, params)
    changes: Json = copy.deepcopy(body.get("properties") or {})
    for name in ("provisioningState", "creationDate"):
        changes.pop(name, None)
    with arm.state.lock:
        merged = {**task.properties}
        for name, value in changes.items():
            held = merged.get(name)
            if value is None:  # says nothing: terraform-provider-azurerm, container registry tasks
                continue
            if not isinstance(held, dict):
                merged[name] = _stripped(value)
            elif name == "step":
                step = _stripped(value)
                step["baseImageDependencies"] = held.get("baseImageDependencies")
                merged[name] = {**held, **step} if held["type"] == step.get("type") else step
            elif name == "credentials":
                given = value.pop("customRegistries", None) or {}
                custom = {**(held.get("customRegistries") or {}), **given}
                # A registry that is set to null is taken away.
                custom = {host: entry for host, entry in custom.items() if entry}
                merged[name] = {**held, **value, "customRegistries": custom}
            else:
                merged[name] = _merge(held, value)
        _default_statuses(merged.get("trigger") or {})
        if "identity" in body:
            task.identity = _patched_identity(arm, registry, task, body["identity"])
        task.properties = merged
        task.tags = body.get("tags") or task.tags
        task.modified = acr_time(arm.clock.now())
        _tell(arm, registry, task)
        return JSONResponse(_wire(arm, registry, task))


def _merge(held: Any, given: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what is held with what is given laid over it; null gives nothing.

    Triggers are lists whose entries have names: each is merged with the one of its name.
    """
    if given is None:
        return held
    if isinstance(held, dict) and isinstance(given, dict):
        return {**held, **{key: _merge(held.get(key), value) for key, value in given.items()}}
    if isinstance(held, list) and isinstance(given, list):
        named = {entry.get("name"): entry for entry in held if isinstance(entry, dict)}
        return [
            _merge(named.get(entry.get("name")), entry) if isinstance(entry, dict) else entry
            for entry in given
        ]
    return given


def _patched_identity(arm: Arm, registry: Registry, task: Task, wanted: Json) -> Json | None:
    assigned = (task.identity or {}).get("userAssignedIdentities") or {}
    merged = {**assigned, **((wanted or {}).get("userAssignedIdentities") or {})}
    asked = {**(wanted or {}), "userAssignedIdentities": merged}
    return _identity(arm, f"{registry.id}/tasks/{task.name}", asked, task.identity)


def _get(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    with arm.state.lock:
        return JSONResponse(_wire(arm, *find(arm, params)))


def _details(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    with arm.state.lock:
        return JSONResponse(_wire(arm, *find(arm, params), secret=True))


def _delete(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    registry = arm.registry(params)
    with arm.state.lock:
        known = registry.tasks.pop(params["t"].lower(), None)
    if known is not None and known.identity:
        arm.directory.delete(str(known.identity.get("principalId")))
    if known is not None:
        _tell(arm, registry, known, deleted=True)
    return Response(status_code=200 if known else 204)


def _tell(arm: Arm, registry: Registry, task: Task, *, deleted: bool = False) -> None:
    arm.eventgrid.publish_change(f"{registry.id}/tasks/{task.name}", _TYPE, deleted=deleted)


def _list(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    registry = arm.registry(params)
    size = arm.behaviour.page_size
    token = paging.after(request)
    if token is not None and not token.isdecimal():
        raise paging.bad_token(token)
    with arm.state.lock:
        # In the order in which they were made, as Azure lists them.
        newer = [t for t in registry.tasks.values() if t.number > int(token or 0)]
        newer.sort(key=lambda task: task.number)
        found = [_wire(arm, registry, task) for task in newer[:size]]
    if not arm.behaviour.list_has_dependencies:
        for wire in found:
            (wire["properties"].get("step") or {}).pop("baseImageDependencies", None)
    last = str(newer[size - 1].number) if len(newer) > size else None
    return JSONResponse(paging.answer(arm, request, found, last))


ROUTES: tuple[Route, ...] = (
    Route("GET", rf"{REGISTRY}/tasks", versions.TASKS, _list),
    Route("GET", _TASK, versions.TASKS, _get),
    Route("PUT", _TASK, versions.TASKS, _put, schemas.TASK),
    Route("PATCH", _TASK, versions.TASKS, _patch, schemas.TASK),
    Route("DELETE", _TASK, versions.TASKS, _delete),
    Route("POST", rf"{_TASK}/listDetails", versions.TASKS, _details),
)
