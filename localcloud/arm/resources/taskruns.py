"""Task runs: a run as a resource, so that a template can start one.

Source of the shapes: TaskRun in azure-mgmt-containerregistrytasks 1.0.0b1.
"""

from __future__ import annotations

import copy

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.model import Arm, Route
from localcloud.arm.resources.registries import REGISTRY
from localcloud.arm.resources.runs import run_wire, schedule
from localcloud.state import Json, Registry, TaskRun

VERSIONS = frozenset({"2019-06-01-preview", "2025-03-01-preview"})
_ALL = rf"{REGISTRY}/taskRuns"
_ONE = rf"{_ALL}/(?P<n>[^/]+)"
_STATES = {"Succeeded": "Succeeded", "Canceled": "Canceled"}


def _wire(arm: Arm, registry: Registry, held: TaskRun, *, secret: bool = False) -> Json:
    run = registry.runs[held.run_id]
    status = run.properties["status"]
    state = _STATES.get(status, "Failed") if run.over else "Running"
    return {
        "id": f"{registry.id}/taskRuns/{held.name}",
        "name": held.name,
        "type": "Microsoft.ContainerRegistry/registries/taskRuns",
        "location": registry.location,
        "properties": {
            "provisioningState": state,
            "runRequest": held.request if secret else _without_secrets(held.request),
            "forceUpdateTag": held.tag,
            "runResult": run_wire(arm, registry, run),
        },
    }


def _without_secrets(request: Json) -> Json:
    """Return a run request as everybody who may read the task run sees it."""
    shown = copy.deepcopy(request)
    override = shown.get("overrideTaskStepProperties") or {}
    for holder in (shown, override):
        for kind in ("arguments", "values"):
            for entry in holder.get(kind) or []:
                if entry.get("isSecret"):
                    entry["value"] = None
    credentials = shown.get("credentials") or {}
    if credentials.get("customRegistries"):
        credentials["customRegistries"] = dict.fromkeys(credentials["customRegistries"])
    return shown


def _put(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    """Create or update: another request or another tag is another run."""
    registry = arm.registry(params)
    if ((body.get("identity") or {}).get("type") or "None") != "None":
        raise ArmError(
            400, "IdentityNotSupported", "The local cloud gives identities to tasks only."
        )
    properties = body.get("properties") or {}
    known = registry.task_runs.get(params["n"].lower())
    tag = properties.get("forceUpdateTag") or (known.tag if known else None)
    wanted = properties.get("runRequest") or (known.request if known else {})
    status = 200 if known else 201
    if known is None or tag != known.tag or wanted != known.request:
        run = schedule(arm, registry, wanted, arm.principal(request).object_id)
        name = known.name if known else params["n"]
        known = TaskRun(name, copy.deepcopy(wanted), tag, run.run_id)
        registry.task_runs[name.lower()] = known
    return JSONResponse(_wire(arm, registry, known), status)


def _patch(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    _find(arm, params)
    return _put(arm, request, params, body)


def _find(arm: Arm, params: dict[str, str]) -> tuple[Registry, TaskRun]:
    registry = arm.registry(params)
    held = registry.task_runs.get(params["n"].lower())
    if held is None:
        raise not_found(f"{registry.id}/taskRuns/{params['n']}")
    return registry, held


def _get(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(_wire(arm, *_find(arm, params)))


def _details(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(_wire(arm, *_find(arm, params), secret=True))


def _delete(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    gone = arm.registry(params).task_runs.pop(params["n"].lower(), None)
    return Response(status_code=200 if gone else 204)


def _list(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    registry = arm.registry(params)
    found = [_wire(arm, registry, held) for held in registry.task_runs.values()]
    return JSONResponse({"value": found})


ROUTES: tuple[Route, ...] = (
    Route("GET", _ALL, VERSIONS, _list),
    Route("GET", _ONE, VERSIONS, _get),
    Route("PUT", _ONE, VERSIONS, _put),
    Route("PATCH", _ONE, VERSIONS, _patch),
    Route("DELETE", _ONE, VERSIONS, _delete),
    Route("POST", rf"{_ONE}/listDetails", VERSIONS, _details),
)
