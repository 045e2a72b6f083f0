"""The app behind https://management.azure.com: who asks, faults, which resource."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, get_args

from starlette import routing
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import operations
from localcloud.arm.access import (
    AUDIENCES,
    FILTERED,
    action_of,
    linked_to,
    refusal,
    require,
    require_linked,
)
from localcloud.arm.errors import ArmError, wire_error
from localcloud.arm.model import Arm, Route
from localcloud.arm.resources import (
    anything,
    deployments,
    eventsubscriptions,
    functions,
    groups,
    imports,
    locks,
    permissions,
    plans,
    providers,
    registries,
    replications,
    roleassignments,
    roledefinitions,
    runs,
    siteconfig,
    sites,
    storageaccounts,
    storageservices,
    subscriptions,
    systemtopics,
    taskruns,
    tasks,
    topicsubscriptions,
    userassigned,
)
from localcloud.arm.router import Router, check_body, check_subscription, check_version, no_such
from localcloud.arm.switches import Action, Fault, Method
from localcloud.directory import TENANT_ID, Principal
from localcloud.network import ASGIApp
from localcloud.state import Json, Registry
from localcloud.tokens import InvalidToken

_BUILDS = re.compile(
    r"POST .*/(?:scheduleRun|listBuildSourceUploadUrl)/?|(?:PUT|PATCH) .*/taskRuns/[^/]+/?",
    re.IGNORECASE,
)

ROUTES: tuple[Route, ...] = (
    *operations.ROUTES,
    *roledefinitions.ROUTES,
    *roleassignments.ROUTES,
    *permissions.ROUTES,
    *subscriptions.ROUTES,
    *groups.ROUTES,
    *userassigned.ROUTES,
    *registries.ROUTES,
    *replications.ROUTES,
    *imports.ROUTES,
    *eventsubscriptions.ROUTES,
    *tasks.ROUTES,
    *runs.ROUTES,
    *taskruns.ROUTES,
    *storageaccounts.ROUTES,
    *storageservices.ROUTES,
    *plans.ROUTES,
    *sites.ROUTES,
    *siteconfig.ROUTES,
    *functions.ROUTES,
    *systemtopics.ROUTES,
    *topicsubscriptions.ROUTES,
    *deployments.ROUTES,
    *locks.ROUTES,
    *providers.ROUTES,
    *anything.ROUTES,
)
"""Everything that ARM answers; the last ones are asked after every other."""


class ArmApp:
    """Answers clients.

    Args:
        arm: The cloud.
        drop: Cuts the connections of the network, for faults.
    """

    def __init__(self, arm: Arm, drop: Callable[[], None]) -> None:
        self._arm = arm
        self._drop = drop
        self._router = Router(arm, ROUTES, anything.keep)
        self.app: ASGIApp = Starlette(
            routes=[
                routing.Route("/{path:path}", self._endpoint(), methods=get_args(Method.__value__))
            ]
        )

    def _endpoint(self) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            self._arm.requests.append((request.method, request.url.path))
            fault = self._fault(request)
            try:
                if fault is None:
                    response = await self._answer(request)
                else:
                    response = await self._fail(request, fault)
            except ArmError as error:
                response = _error(error)
            response.headers.update(getattr(request.state, "remaining", {}))
            for header in ("x-ms-request-id", "x-ms-correlation-request-id"):
                response.headers.setdefault(header, str(uuid.uuid4()))
            return response

        return endpoint

    def _fault(self, request: Request) -> Fault | None:
        for fault in self._arm.faults:
            matches = fault.times != 0 and fault.method == request.method
            if matches and re.search(fault.path, request.url.path, re.IGNORECASE):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    async def _fail(self, request: Request, fault: Fault) -> Response:
        answer = await self._answer(request) if fault.after else None
        await self._arm.clock.sleep(fault.seconds)
        if fault.status is None:
            return answer if answer is not None else await self._answer(request)
        if fault.status == 0:
            self._drop()
            return Response(status_code=500)
        return _error(ArmError(fault.status, fault.code, fault.message, fault.headers))

    async def _answer(self, request: Request) -> Response:
        principal = request.state.principal = self._authenticate(request)
        remaining = self._arm.throttle.take(request.method, request.url.path, principal.object_id)
        request.state.remaining = remaining
        path = request.url.path
        for route, params in self._router.matches(request.method, path):
            check_version(request, route)
            check_subscription(self._arm, params)
            needed = action_of(request.method, path)
            if route.handler not in FILTERED:
                require(self._arm.roles, principal, *needed)
            self._arm.actions.append(Action(request.method, *needed, principal.object_id))
            if request.method == "DELETE":
                locks.check(self._arm, path)
            body = await _body(request)
            check_body(route, body)
            for linked in linked_to(body):
                require_linked(self._arm.roles, principal, needed, linked)
            if _BUILDS.fullmatch(f"{request.method} {path}"):
                self._check_builds(self._arm.registry(params))
            # In a thread: an event subscription waits for its endpoint's handshake.
            return await run_in_threadpool(self._router.answer, route, request, params, body)
        raise no_such(request.method, path)

    def _check_builds(self, registry: Registry) -> None:
        refused = {resource_id.lower() for resource_id in self._arm.behaviour.tasks_not_allowed}
        if refused & {"*", registry.id.lower()}:
            raise ArmError(
                400,
                "TasksOperationsNotAllowed",
                f"ACR Tasks requests for the registry {registry.name} and"
                f" {registry.subscription_id} are not permitted. Please file an Azure support"
                " request at http://aka.ms/azuresupport for assistance.",
            )

    def _authenticate(self, request: Request) -> Principal:
        header = request.headers.get("authorization", "")
        kind, _, token = header.partition(" ")
        if not header:
            message = "Authentication failed. The 'Authorization' header is missing."
            raise ArmError(401, "AuthenticationFailed", message)
        if kind.lower() != "bearer":
            message = "Authentication failed. The 'Authorization' header has an invalid format."
            raise ArmError(401, "AuthenticationFailedInvalidHeader", message)
        try:
            return self._arm.tokens.check(token, AUDIENCES)
        except InvalidToken as error:
            raise refusal(error) from error


async def _body(request: Request) -> Json:
    data = await request.body()
    if not data:
        return {}
    if "/microsoft.resources/deployments/" in request.url.path.lower():
        spliced = deployments.body_of(data.decode("utf-8-sig", "replace"))
        if spliced is not None:
            return spliced
    try:
        body: Any = await request.json()
    except ValueError as error:
        raise ArmError(400, "InvalidRequestContent", "The request content is not JSON.") from error
    if not isinstance(body, dict):
        raise ArmError(400, "InvalidRequestContent", "The request content is not an object.")
    return body


def _error(error: ArmError) -> Response:
    body = {"error": wire_error(error)}
    headers = {}
    if error.status == 401:  # noqa: PLR2004 - HTTP
        given = 'error="invalid_token", error_description="Could not verify the access token."'
        where = f'authorization_uri="https://login.windows.net/{TENANT_ID}"'
        headers["WWW-Authenticate"] = f"Bearer {where}, {given}"
    return JSONResponse(body, error.status, {**headers, **error.headers})
