"""The app behind https://management.azure.com: who asks, which resource, which version, faults."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.arm import (
    authorization,
    deployments,
    deployments_plain,
    eventsubscriptions,
    imports,
    permissions,
    registries,
    replications,
    resources,
    runs,
    storage,
    systemtopics,
    taskruns,
    tasks,
    websites,
)
from localcloud.arm.access import (
    AUDIENCES,
    FILTERED,
    action_of,
    linked_to,
    refusal,
    require,
    require_linked,
)
from localcloud.arm.deployments_engine import wire_error
from localcloud.arm.errors import ArmError
from localcloud.arm.imports import ImportBehaviour
from localcloud.arm.limits import Throttle
from localcloud.blobs import Blobs
from localcloud.builds.scheduler import Scheduler
from localcloud.clock import Clock
from localcloud.directory import TENANT_ID, Directory, Principal
from localcloud.eventgrid import EventGrid
from localcloud.functionapps import FunctionApps
from localcloud.network import ASGIApp
from localcloud.registry import RegistryService
from localcloud.roles import Roles
from localcloud.state import Json, Registry, State, azure_time
from localcloud.storage import Storage
from localcloud.switches import AtLeast
from localcloud.tokens import InvalidToken, Tokens

_BUILDS = re.compile(
    r"POST .*/(?:scheduleRun|listBuildSourceUploadUrl)/?|(?:PUT|PATCH) .*/taskRuns/[^/]+/?",
    re.IGNORECASE,
)

type Method = Literal["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]
type Handler = Callable[[Arm, Request, dict[str, str], Json], Response]


@dataclass(slots=True)
class Behaviour:
    """What is not known of ARM, or differs from day to day.

    Attributes:
        list_has_dependencies: Whether the list of tasks carries baseImageDependencies.
        put_keeps_dependencies: Whether a PUT of a task keeps what was recorded.
        shows_update_token: Whether runs show their updateTriggerToken.
        filters_mind_case: Whether a $filter compares text with its case.
        shows_secret_arguments: Whether tasks show that they give a secret argument; if not, only
            listDetails tells.
        page_size: How many tasks or runs a page holds at most.
        tasks_not_allowed: The resource ids, in any case, of the registries whose runs Azure refuses
            with TasksOperationsNotAllowed, as it does on free credits; `*` for all.
    """

    list_has_dependencies: bool = True
    put_keeps_dependencies: bool = False
    shows_update_token: bool = True
    filters_mind_case: bool = False
    shows_secret_arguments: bool = True
    page_size: Annotated[int, AtLeast(1)] = 100
    tasks_not_allowed: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Fault:
    """Requests that are to fail, or to be slow.

    Attributes:
        method: Of which method.
        path: A regular expression that the path holds, in any case.
        status: What to answer; 0 cuts the connection instead, null gives the true answer.
        code: ARM's error code.
        message: ARM's words.
        headers: More headers.
        after: Whether the request has its effect first.
        times: For how many requests; null for all.
        seconds: How much cloud time passes before the answer: after the effect, or before it.
    """

    method: Method
    path: str
    status: int | None
    code: str = "InternalServerError"
    message: str = "Encountered internal server error."
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False
    times: int | None = 1
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Action:
    """A request that ARM let in.

    Attributes:
        method: Its method.
        action: What it was allowed as: Microsoft.ContainerRegistry/registries/read.
        scope: On what.
        principal_id: Who sent it, by object id.
    """

    method: str
    action: str
    scope: str
    principal_id: str


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
        service: The registries' content, for imports.
        drop: Cuts the connections of the network, for faults.
        store: What storage accounts hold.
        apps: What runs in function apps.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - everything that ARM manages
        self,
        state: State,
        clock: Clock,
        tokens: Tokens,
        directory: Directory,
        roles: Roles,
        scheduler: Scheduler,
        blobs: Blobs,
        eventgrid: EventGrid,
        service: RegistryService,
        drop: Callable[[], None],
        store: Storage,
        apps: FunctionApps,
    ) -> None:
        self.state = state
        self.clock = clock
        self.tokens = tokens
        self.directory = directory
        self.roles = roles
        self.scheduler = scheduler
        self.blobs = blobs
        self.eventgrid = eventgrid
        self.service = service
        self.storage = store
        self.apps = apps
        self.behaviour = Behaviour()
        self.imports = ImportBehaviour()
        self.throttle = Throttle(clock)
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.actions: list[Action] = []
        self.operations: set[str] = set()
        # By resource id in lower case: what was deployed, and resources that are only kept.
        self.deployments: dict[str, Json] = {}
        self.deployment_operations: dict[str, list[Json]] = {}
        self.deployment_templates: dict[str, Json] = {}
        self.plain: dict[str, Json] = {}
        self._drop = drop
        table = (
            *authorization.ROUTES,
            *permissions.ROUTES,
            *resources.ROUTES,
            *registries.ROUTES,
            *replications.ROUTES,
            *imports.ROUTES,
            *eventsubscriptions.ROUTES,
            *tasks.ROUTES,
            *runs.ROUTES,
            *taskruns.ROUTES,
            *storage.ROUTES,
            *websites.ROUTES,
            *systemtopics.ROUTES,
            *deployments.ROUTES,
            *deployments_plain.ROUTES,
        )
        self._routes = [
            (method, re.compile(pattern + "/?", re.IGNORECASE), versions, handler)
            for method, pattern, versions, handler in table
        ]
        methods = get_args(Method.__value__)
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

    def now(self) -> str:
        """Return cloud time in ARM's form."""
        return azure_time(self.clock.now())

    def new_id(self) -> str:
        """Return an id for something new."""
        return str(uuid.uuid4())

    def may(self, request: Request, action: str, scope: str) -> bool:
        """Tell whether who sent a request may do something."""
        return self.roles.allows(self.principal(request).object_id, action, scope)

    def preflight(self, principal: Principal, resource_id: str, api_version: str) -> bool:
        """Check that somebody may put a resource; tell whether the local cloud has its type.

        Raises:
            ArmError: No role allows it, or the type has no such version.
        """
        require(self.roles, principal, *action_of("PUT", resource_id))
        for method, pattern, versions, _ in self._routes:
            if method == "PUT" and pattern.fullmatch(resource_id):
                _check_version(_inner(principal, method, resource_id, api_version), versions)
                return True
        return False

    def call(
        self, principal: Principal, method: str, path: str, api_version: str, body: Json
    ) -> tuple[int, Json]:
        """Ask this ARM something as somebody; return the status and the answer.

        For what ARM does itself for a client, as in deployments; only for a thread of its own.

        Raises:
            ArmError: As a client would be answered.
        """
        request = _inner(principal, method, path, api_version)
        for verb, pattern, versions, handler in self._routes:
            match = pattern.fullmatch(path)
            if match is None or verb != method:
                continue
            if handler not in deployments_plain.HANDLERS:
                _check_version(request, versions)
            self._check_subscription(match.groupdict())
            needed = action_of(method, path)
            require(self.roles, principal, *needed)
            for linked in linked_to(body):
                require_linked(self.roles, principal, needed, linked)
            response = handler(self, request, match.groupdict(), body)
            answer = json.loads(bytes(response.body)) if response.body else {}
            if response.status_code >= 400:  # noqa: PLR2004 - HTTP
                error = answer.get("error") or {}
                code, message = str(error.get("code")), str(error.get("message"))
                raise ArmError(response.status_code, code, message)
            return response.status_code, answer
        if method == "PUT":
            require(self.roles, principal, *action_of(method, path))
            for linked in linked_to(body):
                require_linked(self.roles, principal, action_of(method, path), linked)
            return deployments_plain.keep(self, path, body)
        raise ArmError(404, "InvalidResourceType", f"No {method} at {path} here.")

    def delete_registry(self, registry: Registry) -> None:
        """Delete a registry with its tasks, their identities, and its role assignments."""
        for task in registry.tasks.values():
            self.directory.delete(str((task.identity or {}).get("principalId")))
        self.state.remove(registry.id)
        self.roles.forget_scope(registry.id)

    def _endpoint(self) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            self.requests.append((request.method, request.url.path))
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
        for fault in self.faults:
            matches = fault.times != 0 and fault.method == request.method
            if matches and re.search(fault.path, request.url.path, re.IGNORECASE):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    async def _fail(self, request: Request, fault: Fault) -> Response:
        answer = await self._answer(request) if fault.after else None
        await self.clock.sleep(fault.seconds)
        if fault.status is None:
            return answer if answer is not None else await self._answer(request)
        if fault.status == 0:
            self._drop()
            return Response(status_code=500)
        return _error(ArmError(fault.status, fault.code, fault.message, fault.headers))

    async def _answer(self, request: Request) -> Response:
        principal = request.state.principal = self._authenticate(request)
        remaining = self.throttle.take(request.method, request.url.path, principal.object_id)
        request.state.remaining = remaining
        path = request.url.path
        for method, pattern, versions, handler in self._routes:
            match = pattern.fullmatch(path)
            if match is None or method != request.method:
                continue
            _check_version(request, versions)
            self._check_subscription(match.groupdict())
            needed = action_of(request.method, path)
            if handler not in FILTERED:
                require(self.roles, principal, *needed)
            self.actions.append(Action(request.method, *needed, principal.object_id))
            body = await _body(request)
            for linked in linked_to(body):
                require_linked(self.roles, principal, needed, linked)
            if _BUILDS.fullmatch(f"{method} {path}"):
                self._check_builds(self.registry(match.groupdict()))
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

    def _check_builds(self, registry: Registry) -> None:
        refused = {resource_id.lower() for resource_id in self.behaviour.tasks_not_allowed}
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
            return self.tokens.check(token, AUDIENCES)
        except InvalidToken as error:
            raise refusal(error) from error


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


def _inner(principal: Principal, method: str, path: str, api_version: str) -> Request:
    return Request(
        {
            "type": "http",
            "method": method,
            "scheme": "https",
            "server": ("management.azure.com", 443),
            "path": path,
            "query_string": f"api-version={api_version}".encode(),
            "headers": [],
            "state": {"principal": principal},
        }
    )


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
