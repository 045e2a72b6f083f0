"""Tasks."""

from __future__ import annotations

import copy
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.model import Arm, Route
from localcloud.arm.resources.registries import REGISTRY
from localcloud.directory import TENANT_ID
from localcloud.state import Json, Registry, Task, azure_time

VERSIONS = frozenset({"2018-09-01", "2019-04-01", "2019-06-01-preview", "2025-03-01-preview"})
_TASK = rf"{REGISTRY}/tasks/(?P<t>[^/]+)"
_TYPE = "Microsoft.ContainerRegistry/registries/tasks"
_NAME = re.compile(r"[a-zA-Z0-9-_]{5,50}")
_TIMEOUT = (300, 28800)
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
        if "contextAccessToken" in step:
            step["contextAccessToken"] = None
        if step.get("arguments") and not arm.behaviour.shows_secret_arguments:
            step["arguments"] = [a for a in step["arguments"] if not a.get("isSecret")]
        for argument in step.get("arguments") or []:
            if argument.get("isSecret"):
                argument["value"] = None
        for trigger in (properties.get("trigger") or {}).get("sourceTriggers") or []:
            (trigger.get("sourceRepository") or {})["sourceControlAuthProperties"] = None
        credentials = properties.get("credentials") or {}
        if credentials.get("customRegistries"):
            names = credentials["customRegistries"]
            credentials["customRegistries"] = dict.fromkeys(names)
    wire: Json = {
        "id": f"{registry.id}/tasks/{task.name}",
        "name": task.name,
        "type": _TYPE,
        "location": task.location,
        "tags": task.tags,
        "properties": properties,
    }
    return wire | ({"identity": task.identity} if task.identity else {})


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


def _check(properties: Json) -> None:
    """Refuse what ACR refuses; source: the validation in azure-mgmt-containerregistry's models."""
    step = properties.get("step") or {}
    if step.get("type") == "Docker" and not step.get("dockerFilePath"):
        raise ArmError(400, "InvalidTaskStep", "step.dockerFilePath is required.")
    check_timeout(properties.get("timeout"))


def check_timeout(timeout: int | None) -> None:
    """Refuse a run's time that ACR refuses, in seconds.

    Raises:
        ArmError: It is too short or too long.
    """
    if timeout is not None and not _TIMEOUT[0] <= timeout <= _TIMEOUT[1]:
        raise ArmError(
            400,
            "InvalidTimeout",
            f"timeout is {timeout}; it must be {_TIMEOUT[0]} to {_TIMEOUT[1]} seconds.",
        )


def _put(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    registry = arm.registry(params)
    if not _NAME.fullmatch(params["t"]):
        raise ArmError(400, "InvalidTaskName", f"The task name '{params['t']}' is invalid.")
    properties: Json = copy.deepcopy(body.get("properties") or {})
    _check(properties)
    step = properties.get("step") or {}
    with arm.state.lock:
        known = registry.tasks.get(params["t"].lower())
        name = known.name if known else params["t"]
        properties |= {
            "provisioningState": "Succeeded",
            "creationDate": azure_time(arm.clock.now()),
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
        )
        registry.tasks[params["t"].lower()] = task
        _tell(arm, registry, task)
        # Not 201 for a new one: azure-cli shows a task that it created only if it is 200.
        return JSONResponse(_wire(arm, registry, task))


def _patch(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    registry, task = find(arm, params)
    changes: Json = copy.deepcopy(body.get("properties") or {})
    for name in ("provisioningState", "creationDate"):
        changes.pop(name, None)
    with arm.state.lock:
        merged = {**task.properties}
        for name, value in changes.items():
            held = merged.get(name)
            if value is None or not isinstance(held, dict):
                merged[name] = value
            elif name == "step":
                value["baseImageDependencies"] = held.get("baseImageDependencies")
                merged[name] = {**held, **value} if held["type"] == value.get("type") else value
            elif name == "credentials":
                given = value.pop("customRegistries", None) or {}
                custom = {**(held.get("customRegistries") or {}), **given}
                # A registry that is set to null is taken away.
                custom = {host: entry for host, entry in custom.items() if entry}
                merged[name] = {**held, **value, "customRegistries": custom}
            else:
                merged[name] = _merge(held, value)
        _check(merged)
        if "identity" in body:
            task.identity = _patched_identity(arm, registry, task, body["identity"])
        task.properties = merged
        task.tags = body.get("tags") or task.tags
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
    first = paging.after(request) or ""
    with arm.state.lock:
        names = sorted(name for name in registry.tasks if name > first)
        found = [_wire(arm, registry, registry.tasks[name]) for name in names[:size]]
    if not arm.behaviour.list_has_dependencies:
        for wire in found:
            (wire["properties"].get("step") or {}).pop("baseImageDependencies", None)
    last = names[size - 1] if len(names) > size else None
    return JSONResponse(paging.answer(request, found, last))


ROUTES: tuple[Route, ...] = (
    Route("GET", rf"{REGISTRY}/tasks", VERSIONS, _list),
    Route("GET", _TASK, VERSIONS, _get),
    Route("PUT", _TASK, VERSIONS, _put),
    Route("PATCH", _TASK, VERSIONS, _patch),
    Route("DELETE", _TASK, VERSIONS, _delete),
    Route("POST", rf"{_TASK}/listDetails", VERSIONS, _details),
)
