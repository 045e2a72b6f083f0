"""The app behind https://management.azure.com: who asks, which resource, which version, faults."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.arm import (
    authorization,
    eventsubscriptions,
    registries,
    resources,
    runs,
    taskruns,
    tasks,
)
from localcloud.arm.access import FILTERED, action_of, require
from localcloud.arm.errors import ArmError
from localcloud.blobs import Blobs
from localcloud.builds.scheduler import Scheduler
from localcloud.clock import Clock
from localcloud.directory import Directory, Principal
from localcloud.eventgrid import EventGrid
from localcloud.network import ASGIApp
from localcloud.roles import Roles
from localcloud.state import Json, Registry, State
from localcloud.tokens import InvalidToken, Tokens

_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")

type Handler = Callable[[Arm, Request, dict[str, str], Json], Response]


@dataclass(slots=True)
class Behaviour:
    """What is not known of ARM, or differs from day to day.

    Attributes:
        list_has_dependencies: Whether the list of tasks carries baseImageDependencies.
        put_keeps_dependencies: Whether a PUT of a task keeps what was recorded.
        shows_update_token: Whether runs show their updateTriggerToken.
        filters_mind_case: Whether a $filter compares text with its case.
        page_size: How many tasks or runs a page holds at most.
    """

    list_has_dependencies: bool = True
    put_keeps_dependencies: bool = False
    shows_update_token: bool = True
    filters_mind_case: bool = False
    page_size: int = 100


@dataclass(slots=True)
class Fault:
    """A request that is to fail.

    Attributes:
        method: Of which method.
        path: A regular expression that the path holds.
        status: What to answer; 0 cuts the connection instead.
        code: ARM's error code.
        message: ARM's words.
        headers: More headers.
        after: Whether the request has its effect first.
        times: For how many requests.
    """

    method: str
    path: str
    status: int
    code: str = "InternalServerError"
    message: str = "Encountered internal server error."
    headers: Mapping[str, str] = field(default_factory=dict)
    after: bool = False
    times: int = 1


class Arm:
    """Azure Resource Manager.

    Args:
        state: What there is.
        clock: Cloud time.
        tokens: Who checks tokens.
        directory: Who there is.
        roles: Who may do what.
        scheduler: Who runs runs.
        blobs: Where logs and contexts are.
        eventgrid: Who delivers events.
        drop: Cuts the connections of the network, for faults.
    """

    def __init__(
        self,
        state: State,
        clock: Clock,
        tokens: Tokens,
        directory: Directory,
        roles: Roles,
        scheduler: Scheduler,
        blobs: Blobs,
        eventgrid: EventGrid,
        drop: Callable[[], None],
    ) -> None:
        self.state = state
        self.clock = clock
        self.tokens = tokens
        self.directory = directory
        self.roles = roles
        self.scheduler = scheduler
        self.blobs = blobs
        self.eventgrid = eventgrid
        self.behaviour = Behaviour()
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self._drop = drop
        table = (
            *authorization.ROUTES,
            *resources.ROUTES,
            *registries.ROUTES,
            *eventsubscriptions.ROUTES,
            *tasks.ROUTES,
            *runs.ROUTES,
            *taskruns.ROUTES,
        )
        self._routes = [
            (method, re.compile(pattern + "/?", re.IGNORECASE), versions, handler)
            for method, pattern, versions, handler in table
        ]
        methods = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]
        self.app: ASGIApp = Starlette(
            routes=[Route("/{path:path}", self._endpoint(), methods=methods)]
        )

    def registry(self, params: Mapping[str, str]) -> Registry:
        """Return the registry of a path.

        Raises:
            ArmError: There is none.
        """
        path = (
            f"/subscriptions/{params['s']}/resourceGroups/{params['g']}"
            f"/providers/Microsoft.ContainerRegistry/registries/{params['r']}"
        )
        found = self.state.by_id(path)
        if found is None:
            name = f"Microsoft.ContainerRegistry/registries/{params['r']}"
            raise ArmError(
                404,
                "ResourceNotFound",
                f"The Resource '{name}' under resource group '{params['g']}' was not found. For"
                " more details please go to https://aka.ms/ARMResourceNotFoundFix",
            )
        return found

    def principal(self, request: Request) -> Principal:
        """Return who sent a request; only for requests that were let in."""
        principal: Principal = request.state.principal
        return principal

    def may(self, request: Request, action: str, scope: str) -> bool:
        """Tell whether who sent a request may do something."""
        return self.roles.allows(self.principal(request).object_id, action, scope)

    def delete_registry(self, registry: Registry) -> None:
        """Delete a registry with its tasks, and their identities."""
        for task in registry.tasks.values():
            self.directory.delete(str((task.identity or {}).get("principalId")))
        self.state.remove(registry.id)

    def _endpoint(self) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            self.requests.append((request.method, request.url.path))
            fault = self._fault(request)
            try:
                if fault is not None and not fault.after:
                    response = self._fail(fault)
                else:
                    response = await self._answer(request)
                    response = self._fail(fault) if fault is not None else response
            except ArmError as error:
                response = _error(error)
            for header in ("x-ms-request-id", "x-ms-correlation-request-id"):
                response.headers.setdefault(header, str(uuid.uuid4()))
            return response

        return endpoint

    def _fault(self, request: Request) -> Fault | None:
        for fault in self.faults:
            matches = fault.times and fault.method == request.method
            if matches and re.search(fault.path, request.url.path, re.IGNORECASE):
                fault.times -= 1
                return fault
        return None

    def _fail(self, fault: Fault) -> Response:
        if fault.status == 0:
            self._drop()
            return Response(status_code=500)
        response = _error(ArmError(fault.status, fault.code, fault.message))
        response.headers.update(fault.headers)
        return response

    async def _answer(self, request: Request) -> Response:
        request.state.principal = self._authenticate(request)
        path = request.url.path
        for method, pattern, versions, handler in self._routes:
            match = pattern.fullmatch(path)
            if match is None or method != request.method:
                continue
            _check_version(request, versions)
            self._check_subscription(match.groupdict())
            if handler not in FILTERED:
                action, scope = action_of(request.method, path)
                require(self.roles, self.principal(request), action, scope)
            body = await _body(request)
            # In a thread: an event subscription waits for its endpoint's handshake.
            return await run_in_threadpool(handler, self, request, match.groupdict(), body)
        raise ArmError(404, "InvalidResourceType", f"No {request.method} at {path} here.")

    def _check_subscription(self, params: dict[str, str]) -> None:
        subscription = params.get("s")
        if subscription is not None and subscription.lower() not in self.state.subscriptions:
            raise ArmError(
                404,
                "SubscriptionNotFound",
                f"The subscription '{subscription}' could not be found.",
            )

    def _authenticate(self, request: Request) -> Principal:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise ArmError(
                401,
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
            )
        try:
            return self.tokens.check(token, _AUDIENCES)
        except InvalidToken as error:
            raise ArmError(401, "InvalidAuthenticationToken", f"The token: {error}") from error


def _check_version(request: Request, versions: frozenset[str]) -> None:
    version = request.query_params.get("api-version")
    if version is None:
        raise ArmError(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if versions and version not in versions:
        raise ArmError(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are"
            f" '{','.join(sorted(versions))}'.",
        )


async def _body(request: Request) -> Json:
    data = await request.body()
    if not data:
        return {}
    try:
        body: Any = await request.json()
    except ValueError as error:
        raise ArmError(400, "InvalidRequestContent", "The request content is not JSON.") from error
    if not isinstance(body, dict):
        raise ArmError(400, "InvalidRequestContent", "The request content is not an object.")
    return body


def _error(error: ArmError) -> Response:
    body = {"error": {"code": error.code, "message": str(error)}}
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None  # noqa: PLR2004 - HTTP
    return JSONResponse(body, error.status, headers)
