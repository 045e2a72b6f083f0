"""Task runs: a run as a resource, so that a template can start one.

Source of the shapes: TaskRun in azure-mgmt-containerregistrytasks 1.0.0b1.
"""

from __future__ import annotations

import copy
import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.model import Arm, Route
from localcloud.arm.operations import begun
from localcloud.arm.resources.registries import PROVIDER_NAME, REGISTRY
from localcloud.arm.resources.runs import run_wire, schedule
from localcloud.arm.resources.tasks import shown
from localcloud.arm.schemas import tasks as schemas
from localcloud.state import Json, Registry, Run, TaskRun

_ALL = rf"{REGISTRY}/taskRuns"
_ONE = rf"{_ALL}/(?P<n>[^/]+)"
_NAME = re.compile(r"[a-zA-Z0-9-]{5,50}")
_STATES = {"Succeeded": "Succeeded", "Canceled": "Canceled"}


def _state(run: Run, going: str) -> str:
    """Return how a task run stands; `going` while its run goes on."""
    return _STATES.get(run.properties["status"], "Failed") if run.over else going


def _wire(arm: Arm, registry: Registry, held: TaskRun, *, secret: bool = False) -> Json:
    run = registry.runs[held.run_id]
    return {
        "id": f"{registry.id}/taskRuns/{held.name}",
        "name": held.name,
        "type": "Microsoft.ContainerRegistry/registries/taskRuns",
        "location": registry.location,
        "properties": {
            "provisioningState": _state(run, "Creating"),
            "runRequest": held.request if secret else _without_secrets(held.request),
            "runResult": run_wire(arm, registry, run),
            **({"forceUpdateTag": held.tag} if held.tag else {}),
        },
    }


def _without_secrets(request: Json) -> Json:
    """Return a run request as everybody who may read the task run sees it."""
    wire = copy.deepcopy(request)
    override = wire.get("overrideTaskStepProperties") or {}
    for holder in (wire, override):
        for kind in ("arguments", "values"):
            if holder.get(kind):
                holder[kind] = shown(holder[kind], named=True)
    credentials = wire.get("credentials") or {}
    if credentials.get("customRegistries"):
        credentials["customRegistries"] = dict.fromkeys(credentials["customRegistries"])
    return wire


def _put(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    """Create or update: another request or another tag is another run."""
    registry = arm.registry(params)
    if not _NAME.fullmatch(params["n"]):
        raise ArmError(400, "InvalidTaskRunName", f"The name '{params['n']}' is invalid.")
    if ((body.get("identity") or {}).get("type") or "None") != "None":
        raise ArmError(
            400, "IdentityNotSupported", "The local cloud gives identities to tasks only."
        )
    properties = body.get("properties") or {}
    known = registry.task_runs.get(params["n"].lower())
    tag = properties.get("forceUpdateTag") or (known.tag if known else None)
    wanted = properties.get("runRequest") or (known.request if known else {})
    status = 200 if known else 201
    if not wanted:
        raise ArmError(400, "InvalidRequestContent", "Required property 'runRequest' is missing.")
    if known is None or tag != known.tag or wanted != known.request:
        run = schedule(arm, registry, wanted, arm.principal(request).object_id)
        name = known.name if known else params["n"]
        known = TaskRun(name, copy.deepcopy(wanted), tag, run.run_id)
        registry.task_runs[name.lower()] = known
    headers = {}
    if status == 201:  # noqa: PLR2004 - HTTP
        run = registry.runs[known.run_id]
        headers = begun(
            arm, request, PROVIDER_NAME, registry.location, state=lambda: _state(run, "InProgress")
        )
    return JSONResponse(_wire(arm, registry, known), status, headers)


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


def _list(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    registry = arm.registry(params)
    found = [_wire(arm, registry, held) for held in registry.task_runs.values()]
    return paging.listed(arm, request, found)


ROUTES: tuple[Route, ...] = (
    Route("GET", _ALL, versions.TASKS, _list),
    Route("GET", _ONE, versions.TASKS, _get),
    Route("PUT", _ONE, versions.TASKS, _put, schemas.TASK_RUN),
    Route("PATCH", _ONE, versions.TASKS, _patch, schemas.TASK_RUN),
    Route("DELETE", _ONE, versions.TASKS, _delete),
    Route("POST", rf"{_ONE}/listDetails", versions.TASKS, _details),
)
