"""Tasks."""

from __future__ import annotations

import copy
import re
import uuid
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.registries import REGISTRY
from localcloud.state import Json, Registry, Task, azure_time

if TYPE_CHECKING:
    from localcloud.arm.app import Arm, Handler

VERSIONS = frozenset({"2018-09-01", "2019-04-01", "2019-06-01-preview", "2025-03-01-preview"})
_TASK = rf"{REGISTRY}/tasks/(?P<t>[^/]+)"
_NAME = re.compile(r"[a-zA-Z0-9-_]{5,50}")


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


def _wire(registry: Registry, task: Task, *, secret: bool = False) -> Json:
    properties = copy.deepcopy(task.properties)
    if not secret:
        step = properties.get("step") or {}
        if "contextAccessToken" in step:
            step["contextAccessToken"] = None
        for argument in step.get("arguments") or []:
            if argument.get("isSecret"):
                argument["value"] = None
        credentials = properties.get("credentials") or {}
        if credentials.get("customRegistries"):
            names = credentials["customRegistries"]
            credentials["customRegistries"] = dict.fromkeys(names)
    wire: Json = {
        "id": f"{registry.id}/tasks/{task.name}",
        "name": task.name,
        "type": "Microsoft.ContainerRegistry/registries/tasks",
        "location": task.location,
        "tags": task.tags,
        "properties": properties,
    }
    return wire | ({"identity": task.identity} if task.identity else {})


def _identity(arm: Arm, body: Json, known: Json | None) -> Json | None:
    wanted = body.get("identity")
    if not wanted or wanted.get("type") in (None, "None"):
        return None
    identity: Json = copy.deepcopy(wanted)
    if "SystemAssigned" in identity["type"]:
        principal = (known or {}).get("principalId") or str(uuid.uuid4())
        identity |= {"principalId": principal, "tenantId": arm.tokens.tenant_id}
    for name, assigned in (identity.get("userAssignedIdentities") or {}).items():
        identity["userAssignedIdentities"][name] = {
            "principalId": str(uuid.uuid4()),
            "clientId": str(uuid.uuid4()),
            **(assigned or {}),
        }
    return identity


def _put(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    registry = arm.registry(params)
    if not _NAME.fullmatch(params["t"]):
        raise ArmError(400, "InvalidTaskName", f"The task name '{params['t']}' is invalid.")
    properties: Json = copy.deepcopy(body.get("properties") or {})
    step = properties.get("step") or {}
    if step.get("type") == "Docker" and not step.get("dockerFilePath"):
        raise ArmError(400, "InvalidTaskStep", "step.dockerFilePath is required.")
    with arm.state.lock:
        known = registry.tasks.get(params["t"].lower())
        properties |= {
            "provisioningState": "Succeeded",
            "creationDate": azure_time(arm.clock.now()),
            "status": properties.get("status", "Enabled"),
        }
        if step:
            kept = None
            if known is not None and arm.behaviour.put_keeps_dependencies:
                kept = (known.properties.get("step") or {}).get("baseImageDependencies")
            step["baseImageDependencies"] = kept
        task = Task(
            known.name if known else params["t"],
            body.get("location", registry.location),
            properties,
            _identity(arm, body, known.identity if known else None),
            body.get("tags") or {},
        )
        registry.tasks[params["t"].lower()] = task
        return JSONResponse(_wire(registry, task), 200 if known else 201)


def _patch(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    registry, task = find(arm, params)
    changes: Json = copy.deepcopy(body.get("properties") or {})
    with arm.state.lock:
        for name, value in changes.items():
            held = task.properties.get(name)
            merge = name in ("step", "credentials", "trigger") and isinstance(held, dict)
            if merge and name == "credentials":
                merged = {**(held.get("customRegistries") or {})} if held else {}
                merged |= value.pop("customRegistries", None) or {}
                task.properties[name] = {**(held or {}), **value, "customRegistries": merged}
            elif merge:
                task.properties[name] = {**(held or {}), **value}
            else:
                task.properties[name] = value
        if "identity" in body:
            task.identity = _identity(arm, body, task.identity)
        task.tags = body.get("tags") or task.tags
        return JSONResponse(_wire(registry, task))


def _get(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    with arm.state.lock:
        return JSONResponse(_wire(*find(arm, params)))


def _details(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    with arm.state.lock:
        return JSONResponse(_wire(*find(arm, params), secret=True))


def _delete(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    registry = arm.registry(params)
    with arm.state.lock:
        known = registry.tasks.pop(params["t"].lower(), None)
    return Response(status_code=200 if known else 204)


def _list(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    registry = arm.registry(params)
    size = arm.behaviour.page_size
    first = paging.after(request) or ""
    with arm.state.lock:
        names = sorted(name for name in registry.tasks if name > first)
        found = [_wire(registry, registry.tasks[name]) for name in names[:size]]
    if not arm.behaviour.list_has_dependencies:
        for wire in found:
            (wire["properties"].get("step") or {}).pop("baseImageDependencies", None)
    last = names[size - 1] if len(names) > size else None
    return JSONResponse(paging.answer(request, found, last))


ROUTES: tuple[tuple[str, str, frozenset[str], Handler], ...] = (
    ("GET", rf"{REGISTRY}/tasks", VERSIONS, _list),
    ("GET", _TASK, VERSIONS, _get),
    ("PUT", _TASK, VERSIONS, _put),
    ("PATCH", _TASK, VERSIONS, _patch),
    ("DELETE", _TASK, VERSIONS, _delete),
    ("POST", rf"{_TASK}/listDetails", VERSIONS, _details),
)
