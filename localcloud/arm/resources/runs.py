"""Runs: scheduled, listed, read, cancelled; their logs, and the contexts they build."""

from __future__ import annotations

import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.filters import parse_filter
from localcloud.arm.model import Arm, Route
from localcloud.arm.resources.registries import REGISTRY
from localcloud.arm.schemas import tasks as schemas
from localcloud.state import Json, Registry, Run, acr_time, platform_of, told

_RUN = rf"{REGISTRY}/runs/(?P<run>[^/]+)"
# What the log's metadata says of a run that is over; azure-cli's _stream_utils.py reads it.
_ENDED = {
    "Succeeded": "successful",
    "Failed": "failed",
    "Error": "internalerror",
    "Timeout": "timedout",
    "Canceled": "canceled",
}


def run_wire(arm: Arm, registry: Registry, run: Run) -> Json:
    """Return a run in ARM's form."""
    properties = dict(run.properties)
    if run.told:
        properties["runErrorMessage"] = run.told
    if not arm.behaviour.shows_update_token:
        properties.pop("updateTriggerToken", None)
    return {
        "id": f"{registry.id}/runs/{run.run_id}",
        "name": run.run_id,
        "type": "Microsoft.ContainerRegistry/registries/runs",
        "properties": told(properties),
    }


def schedule(arm: Arm, registry: Registry, body: Json, caller: str) -> Run:
    """Queue the run that a request asks for.

    Args:
        arm: The cloud.
        registry: Where.
        body: The run request.
        caller: The object id of who asks.

    Raises:
        ArmError: There is no such task, or the request is wrong.
    """
    now = acr_time(arm.clock.now())
    properties: Json = {
        "status": "Queued",
        "lastUpdatedTime": now,
        "createTime": now,
        "provisioningState": "Succeeded",
        "isArchiveEnabled": bool(body.get("isArchiveEnabled")),
        "agentConfiguration": {"cpu": 2},
        "outputImages": [],
        **_kind(registry, body),
    }
    with arm.state.lock:
        run_id = arm.state.next_run_id(registry)
        properties["runId"] = run_id
        run = Run(run_id, properties, body, caller)
        registry.runs[run_id] = run
    arm.scheduler.submit(registry, run)
    return run


def _kind(registry: Registry, body: Json) -> Json:
    """Return what a run is by its request: its type, its task, its platform."""
    kind = body.get("type")
    if kind == "TaskRunRequest":
        name = str(body["taskId"]).rpartition("/")[2]
        task = registry.tasks.get(name.lower())
        if task is None:
            raise not_found(f"{registry.id}/tasks/{name}")
        if task.properties.get("status") == "Disabled":
            raise ArmError(400, "TaskDisabled", f"The task {name} is disabled.")
        override = body.get("overrideTaskStepProperties") or {}
        agent = task.properties.get("agentConfiguration")
        return {
            "runType": "QuickRun",
            "task": task.name,
            "platform": platform_of(task.properties.get("platform")),
            **({"agentConfiguration": agent} if agent else {}),
            "updateTriggerToken": override.get("updateTriggerToken"),
        }
    return {"runType": "QuickRun", "platform": platform_of(body["platform"])}


def _schedule(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    registry = arm.registry(params)
    run = schedule(arm, registry, body, arm.principal(request).object_id)
    shown = ("runId", "status", "lastUpdatedTime", "provisioningState", "isArchiveEnabled")
    with arm.state.lock:
        wire = run_wire(arm, registry, run)
    # No more than this: the run itself is for GET.
    wire["properties"] = {n: wire["properties"][n] for n in shown}
    return JSONResponse(wire)


def _upload_url(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    registry = arm.registry(params)
    path = f"{registry.name}/source/{uuid.uuid4()}.tar.gz"
    return JSONResponse({"uploadUrl": arm.blobs.share(path), "relativePath": path})


def _find(arm: Arm, params: dict[str, str]) -> tuple[Registry, Run]:
    registry = arm.registry(params)
    run = registry.runs.get(params["run"].lower())
    if run is None:
        raise not_found(f"{registry.id}/runs/{params['run']}")
    return registry, run


def _get(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    with arm.state.lock:
        return JSONResponse(run_wire(arm, *_find(arm, params)))


def _patch(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    registry, run = _find(arm, params)
    with arm.state.lock:
        run.properties["isArchiveEnabled"] = bool(body.get("isArchiveEnabled"))
        return JSONResponse(run_wire(arm, registry, run))


def _list(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    registry = arm.registry(params)
    query = request.query_params
    wanted = (
        parse_filter(query["$filter"], mind_case=arm.behaviour.filters_mind_case)
        if query.get("$filter")
        else lambda _: True
    )
    asked = "$top" in query
    top = paging.number(request, "$top", 0)
    size = min(top, arm.behaviour.page_size) if asked else arm.behaviour.page_size
    first = paging.after(request)
    with arm.state.lock:
        newest_first = list(reversed(registry.runs.values()))
        if first is not None:
            if first not in registry.runs:
                raise paging.bad_token(first)
            newest_first = newest_first[newest_first.index(registry.runs[first]) + 1 :]
        found = [run for run in newest_first if wanted(run.properties)]
        page = [run_wire(arm, registry, run) for run in found[:size]]
    more = len(found) > size and (not asked or top > size)
    last = found[size - 1].run_id if more else None
    return JSONResponse(paging.answer(arm, request, page, last, top - size if asked else None))


def _cancel(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    _registry, run = _find(arm, params)
    if not arm.scheduler.cancel(run):
        raise ArmError(400, "RunNotCancelable", f"The run {run.run_id} is over.")
    return Response(status_code=200)


def _log(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    registry, run = _find(arm, params)

    def content() -> tuple[bytes, str]:
        with arm.state.lock:
            ended = _ENDED.get(run.properties["status"], "")
            return "".join(f"{line}\r\n" for line in run.log).encode(), ended

    path = f"{registry.name}/logs/{run.run_id}/rawtext.log"
    return JSONResponse({"logLink": arm.blobs.share(path, content)})


ROUTES: tuple[Route, ...] = (
    Route("POST", rf"{REGISTRY}/scheduleRun", versions.TASKS, _schedule, schemas.RUN_REQUEST),
    Route("POST", rf"{REGISTRY}/listBuildSourceUploadUrl", versions.TASKS, _upload_url),
    Route("GET", rf"{REGISTRY}/runs", versions.TASKS, _list),
    Route("GET", _RUN, versions.TASKS, _get),
    Route("PATCH", _RUN, versions.TASKS, _patch, schemas.RUN_CHANGES),
    Route("POST", rf"{_RUN}/cancel", versions.TASKS, _cancel),
    Route("POST", rf"{_RUN}/listLogSasUrl", versions.TASKS, _log),
)
