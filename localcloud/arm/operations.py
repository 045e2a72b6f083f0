"""What goes on after ARM has answered: the headers that tell where to ask, and what is told there.

Source: learn.microsoft.com, "Track asynchronous Azure operations". Here everything is done by the
time that ARM answers; the switch `arm.polls` lets clients ask some more times.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.access import filtered
from localcloud.arm.errors import not_found
from localcloud.arm.kept import SUBSCRIPTION
from localcloud.arm.model import Arm, Operation, Route
from localcloud.state import Json

_ANY: frozenset[str] = frozenset()
_SECONDS = "1"
_GOING = "InProgress"


def _succeeded() -> str:
    return "Succeeded"


def begun(
    arm: Arm,
    request: Request,
    provider: str,
    location: str,
    *,
    result: bool = False,
    state: Callable[[], str] = _succeeded,
) -> dict[str, str]:
    """Begin an operation; return the headers that tell of it.

    Args:
        arm: The cloud.
        request: What began it.
        provider: The resource provider.
        location: The region.
        result: Whether `Location` tells of it, as of a deletion, and not `Azure-AsyncOperation`.
        state: Tells how it goes, where that takes its time.
    """
    key = str(uuid.uuid4())
    arm.operations[key] = Operation(state)
    kind = "operationResults" if result else "operationStatuses"
    subscription = request.url.path.split("/")[2]
    path = f"/subscriptions/{subscription}/providers/{provider}/locations/{location}/{kind}/{key}"
    url = request.url.replace(scheme="https", path=path)
    name = "Location" if result else "Azure-AsyncOperation"
    return {name: str(url), "Retry-After": _SECONDS}


def _asked(arm: Arm, key: str) -> str:
    """Count a question; tell how the operation goes."""
    operation = arm.operations.get(key)
    if operation is None:
        raise not_found(key)
    operation.asked += 1
    return operation.state() if operation.asked > arm.behaviour.polls else _GOING


# Whoever has its address may ask: the built-in role for imports, given on one registry, does not
# hold an action for the region's results (Azure/acr issue 281; that ARM lets it pass is assumed).
@filtered
def _status(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    state = _asked(arm, params["o"])
    wire: Json = {"id": request.url.path, "name": params["o"], "status": state}
    if state == _GOING:
        return JSONResponse(wire, headers={"Retry-After": _SECONDS})
    if state != "Succeeded":
        wire["error"] = {"code": state, "message": "The operation did not succeed."}
    return JSONResponse(wire)


@filtered
def _result(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    if _asked(arm, params["o"]) != _GOING:
        return Response(status_code=200)
    headers = {"Location": str(request.url.replace(scheme="https")), "Retry-After": _SECONDS}
    return Response(status_code=202, headers=headers)


_BELOW = rf"{SUBSCRIPTION}/providers/[^/]+/locations/[^/]+"

ROUTES: tuple[Route, ...] = (
    Route("GET", rf"{_BELOW}/operationStatuses/(?P<o>[^/]+)", _ANY, _status),
    Route("GET", rf"{_BELOW}/operationResults/(?P<o>[^/]+)", _ANY, _result),
)
