"""Deployments of templates, at subscriptions and resource groups.

Source of the shapes: Microsoft.Resources deployments, the REST reference; of the errors:
learn.microsoft.com, "Troubleshoot common Azure deployment errors", and what users report.
"""

from __future__ import annotations

import copy
import json
import re
import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.deployments import whatif
from localcloud.arm.deployments.engine import DEPLOYMENTS, Engine, Place, invalid
from localcloud.arm.errors import ArmError, wire_error
from localcloud.arm.kept import GROUP, SUBSCRIPTION, group_of
from localcloud.arm.model import Arm, Handler, Route
from localcloud.arm.switches import Method
from localcloud.directory import Principal
from localcloud.state import Json, azure_time
from localcloud.templates import parameters
from localcloud.templates.evaluation import Unknown
from localcloud.templates.expressions import TemplateError

_BARE = re.compile(r",\s*template\s*:")


def body_of(text: str) -> Json | None:
    """Return a deployment's body as the Azure CLI sends it; None if it is none.

    The CLI puts a template's text in as it is, behind a key without quotes.
    """
    for match in _BARE.finditer(text):
        try:
            body = json.loads(f'{text[: match.start()]},"template":{text[match.end() :]}')
        except ValueError:
            continue
        return body if isinstance(body, dict) else None
    return None


def _place(arm: Arm, params: dict[str, str], body: Json) -> Place:
    group = None
    location = str(body.get("location") or "")
    if "g" in params:
        found = group_of(arm, params)
        group, location = found.name, found.location
    elif not location:
        raise ArmError(
            400,
            "LocationRequired",
            "The location property is required for a deployment at a subscription.",
        )
    return Place(params["s"], group, params["d"], location)


def _properties(body: Json) -> Json:
    properties: Json = body.get("properties") or {}
    if str(properties.get("mode", "Incremental")).lower() != "incremental":
        raise ArmError(
            400, "InvalidRequestContent", "The local cloud deploys in the mode Incremental only."
        )
    return properties


def deploy(arm: Arm, principal: Principal, place: Place, properties: Json, tags: Json) -> Json:
    """Deploy a template; return the deployment, which succeeded or failed.

    Raises:
        ArmError: The template is refused before anything is put.
    """
    engine = Engine(arm, principal, place, properties, deploy)
    told: Json = {
        "mode": "Incremental",
        "provisioningState": "Succeeded",
        "correlationId": str(uuid.uuid4()),
        "timestamp": azure_time(arm.clock.now()),
        "duration": "PT0S",
        "parameters": _shown_parameters(engine),
        "providers": [],
        "dependencies": [],
    }
    try:
        told["outputs"] = _shown_outputs(engine, engine.run())
    except ArmError as error:
        told |= {"provisioningState": "Failed", "error": wire_error(error)}
    ids = [i.id for i in engine.instances if i.there and not i.failure]
    told["outputResources"] = [{"id": resource_id} for resource_id in ids]
    wire: Json = {
        "id": place.id,
        "name": place.name,
        "type": DEPLOYMENTS,
        "properties": told,
        "tags": tags,
    }
    if not place.group:
        wire["location"] = place.location
    key = place.id.lower()
    arm.deployments[key] = wire
    arm.deployment_operations[key] = engine.operations
    arm.deployment_templates[key] = engine.template
    return wire


def _shown_parameters(engine: Engine) -> Json:
    definitions = engine.template.get("definitions") or {}
    shown: Json = {}
    for name, schema in (engine.template.get("parameters") or {}).items():
        kind = str(parameters.kind_of(schema, definitions).get("type", "object"))
        shown[name] = {"type": kind[0].upper() + kind[1:]}
        if not parameters.is_secure(schema, definitions):
            shown[name]["value"] = engine.parameters[name.lower()]
    return shown


def _shown_outputs(engine: Engine, outputs: Json) -> Json:
    shown = copy.deepcopy(outputs)
    for name, schema in (engine.template.get("outputs") or {}).items():
        secure = parameters.is_secure(schema, engine.template.get("definitions") or {})
        if name in shown and secure:
            del shown[name]["value"]
    return shown


def _predict(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Engine:
    place = _place(arm, params, body)
    engine = Engine(arm, arm.principal(request), place, _properties(body))
    try:
        engine.run()
    except TemplateError as error:
        raise invalid(error) from error
    except Unknown as unknown:
        raise invalid(TemplateError(f"'{unknown}' is not there before the deployment")) from unknown
    return engine


def _put(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    place = _place(arm, params, body)
    wire = deploy(arm, arm.principal(request), place, _properties(body), body.get("tags") or {})
    # Accepted, whatever comes of it: by the time that a client asks, it is over.
    url = f"https://management.azure.com{place.id}/operationStatuses/{uuid.uuid4().hex}"
    version = request.query_params["api-version"]
    headers = {"Azure-AsyncOperation": f"{url}?api-version={version}", "Retry-After": "1"}
    accepted = copy.deepcopy(wire)
    accepted["properties"]["provisioningState"] = "Accepted"
    for name in ("error", "outputs", "outputResources"):
        accepted["properties"].pop(name, None)
    return JSONResponse(accepted, 201, headers)


def _validate(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    engine = _predict(arm, request, params, body)
    place = engine.place
    told = {
        "mode": "Incremental",
        "provisioningState": "Succeeded",
        "correlationId": str(uuid.uuid4()),
        "timestamp": azure_time(arm.clock.now()),
        "duration": "PT0S",
        "providers": [],
        "dependencies": [],
        "validatedResources": [{"id": instance.id} for instance in engine.predicted()],
    }
    wire = {"id": place.id, "name": place.name, "type": DEPLOYMENTS, "properties": told}
    return JSONResponse(wire)


def _what_if(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    engine = _predict(arm, request, params, body)
    found = whatif.changes(arm, arm.principal(request), engine)
    told = {"correlationId": str(uuid.uuid4()), "changes": found}
    return JSONResponse({"status": "Succeeded", "properties": told})


def _find(arm: Arm, params: dict[str, str]) -> Json:
    base = f"/subscriptions/{params['s']}"
    if "g" in params:
        group_of(arm, params)
        base += f"/resourceGroups/{params['g']}"
    found = arm.deployments.get(f"{base}/providers/{DEPLOYMENTS}/{params['d']}".lower())
    if found is None:
        raise ArmError(404, "DeploymentNotFound", f"Deployment '{params['d']}' could not be found.")
    return found


def _get(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    found = _find(arm, params)
    return Response(status_code=204) if request.method == "HEAD" else JSONResponse(found)


def _list(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    base = f"/subscriptions/{params['s']}"
    if "g" in params:
        base = group_of(arm, params).id
    inside = f"{base}/providers/{DEPLOYMENTS}/".lower()
    found = [wire for key, wire in arm.deployments.items() if key.startswith(inside)]
    return paging.listed(arm, request, found)


def _delete(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    try:
        key = str(_find(arm, params)["id"]).lower()
    except ArmError:
        return Response(status_code=204)
    for kept in (arm.deployments, arm.deployment_operations, arm.deployment_templates):
        kept.pop(key, None)
    return Response(status_code=204)


def _operations(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    key = str(_find(arm, params)["id"]).lower()
    return paging.listed(arm, request, arm.deployment_operations[key])


def _operation(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    key = str(_find(arm, params)["id"]).lower()
    for wire in arm.deployment_operations[key]:
        if wire["operationId"].lower() == params["o"].lower():
            return JSONResponse(wire)
    raise ArmError(404, "DeploymentOperationNotFound", f"There is no operation '{params['o']}'.")


def _status(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    properties = _find(arm, params)["properties"]
    wire = {"status": properties["provisioningState"]}
    error = properties.get("error")
    return JSONResponse({**wire, "error": error} if error else wire)


def _export(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    key = str(_find(arm, params)["id"]).lower()
    return JSONResponse({"template": arm.deployment_templates[key]})


_ALL = r"/providers/Microsoft\.Resources/deployments"
_ONE = rf"{_ALL}/(?P<d>[^/]+)"

_HANDLERS: tuple[tuple[Method, str, Handler], ...] = (
    ("GET", _ALL, _list),
    ("GET", _ONE, _get),
    ("HEAD", _ONE, _get),
    ("PUT", _ONE, _put),
    ("DELETE", _ONE, _delete),
    ("POST", rf"{_ONE}/validate", _validate),
    ("POST", rf"{_ONE}/whatIf", _what_if),
    ("POST", rf"{_ONE}/exportTemplate", _export),
    ("GET", rf"{_ONE}/operations", _operations),
    ("GET", rf"{_ONE}/operations/(?P<o>[^/]+)", _operation),
    ("GET", rf"{_ONE}/operationStatuses/(?P<o>[^/]+)", _status),
)

ROUTES: tuple[Route, ...] = tuple(
    Route(method, f"{scope}{path}", versions.RESOURCES, handler)
    for scope in (GROUP, SUBSCRIPTION)
    for method, path, handler in _HANDLERS
)
