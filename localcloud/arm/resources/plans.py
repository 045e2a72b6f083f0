"""App Service plans: Flex Consumption alone."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import versions
from localcloud.arm.errors import ArmError
from localcloud.arm.kept import GROUP, group_id, group_of, location_of, missing, wire
from localcloud.arm.model import Arm, Route
from localcloud.arm.schemas import web as schemas
from localcloud.state import Json, Resource

_PLAN = rf"{GROUP}/providers/Microsoft\.Web/serverfarms/(?P<p>[^/]+)"
PLAN_TYPE = "Microsoft.Web/serverfarms"


def _put_plan(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    group_of(arm, params)
    plan_id = f"{group_id(params)}/providers/{PLAN_TYPE}/{params['p']}"
    known = arm.state.resource(plan_id)
    sku = body.get("sku") or (known.more["sku"] if known else None)
    if not sku or sku.get("name") != "FC1":
        raise ArmError(
            400, "BadRequest", "The local cloud has Flex Consumption alone: sku.name is FC1."
        )
    plan = Resource(
        known.id if known else plan_id,
        PLAN_TYPE,
        known.location if known else location_of(body),
        {**(body.get("properties") or {}), "status": "Ready", "provisioningState": "Succeeded"},
        body.get("tags") or {},
        {
            "kind": body.get("kind") or "functionapp",
            "sku": {"name": "FC1", "tier": "FlexConsumption", "size": "FC1", "family": "FC"},
        },
    )
    arm.state.put(plan)
    return JSONResponse(wire(plan))


def _get_plan(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    found = arm.state.resource(f"{group_id(params)}/providers/{PLAN_TYPE}/{params['p']}")
    if found is None:
        raise missing(PLAN_TYPE, params["p"], params["g"])
    return JSONResponse(wire(found))


def _delete_plan(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    gone = arm.state.remove(f"{group_id(params)}/providers/{PLAN_TYPE}/{params['p']}")
    return Response(status_code=200 if gone else 204)


ROUTES: tuple[Route, ...] = (
    Route("GET", _PLAN, versions.WEB, _get_plan),
    Route("PUT", _PLAN, versions.WEB, _put_plan, schemas.PLAN),
    Route("DELETE", _PLAN, versions.WEB, _delete_plan),
)
