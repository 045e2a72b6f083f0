"""What ARM is made of: what it manages, and the form of a route. It imports no route."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from starlette.requests import Request
from starlette.responses import Response

from localcloud.arm.errors import ArmError
from localcloud.arm.limits import Throttle
from localcloud.arm.schema import Kind
from localcloud.arm.switches import Action, Behaviour, Fault, ImportBehaviour, Method
from localcloud.blobs import Blobs
from localcloud.builds.scheduler import Scheduler
from localcloud.clock import Clock
from localcloud.directory import Directory, Principal
from localcloud.eventgrid import EventGrid
from localcloud.functionapps import FunctionApps
from localcloud.insights import Insights
from localcloud.registry import RegistryService
from localcloud.roles import Roles
from localcloud.state import Json, Registry, State, azure_time
from localcloud.storage import Storage
from localcloud.tokens import Tokens

type Handler = Callable[[Arm, Request, dict[str, str], Json], Response]


class Route(NamedTuple):
    """What answers a request.

    Attributes:
        method: Of which method.
        pattern: A regular expression of the whole path, in any case.
        versions: The API versions that it answers; empty for any.
        handler: What answers.
        body: What a body must be; None where no body is looked at.
    """

    method: Method
    pattern: str
    versions: frozenset[str]
    handler: Handler
    body: Kind | None = None


class Exchange(NamedTuple):
    """A request that ARM let in, and its answer.

    Attributes:
        method: The method.
        path: The path.
        version: The API version.
        pattern: The pattern of the route that answered.
        body: What the client sent; None for nothing.
        status: The answer's status.
        headers: The answer's headers, by name in lower case.
        answer: What ARM answered; None for nothing.
    """

    method: str
    path: str
    version: str
    pattern: str
    body: Json | None
    status: int
    headers: dict[str, str]
    answer: Json | None


@dataclass(slots=True)
class Operation:
    """Something that goes on after ARM has answered.

    Attributes:
        state: Tells how it goes: InProgress, Succeeded, Failed, Canceled.
        asked: How often a client has asked how it goes.
    """

    state: Callable[[], str]
    asked: int = 0


class Inner(Protocol):
    """What ARM asks itself for a client, as in deployments."""

    def preflight(self, principal: Principal, resource_id: str, api_version: str) -> bool:
        """Check that somebody may put a resource; tell whether the local cloud has its type."""

    def call(
        self, principal: Principal, method: str, path: str, api_version: str, body: Json
    ) -> tuple[int, Json]:
        """Ask as somebody; return the status and the answer."""


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
        store: What storage accounts hold.
        apps: What runs in function apps.
        insights: Takes the telemetry of Application Insights' components.

    Attributes:
        router: Who finds what answers a request; set by the router itself.
    """

    router: Inner

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
        store: Storage,
        apps: FunctionApps,
        insights: Insights,
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
        self.insights = insights
        self.behaviour = Behaviour()
        self.imports = ImportBehaviour()
        self.throttle = Throttle(clock)
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.actions: list[Action] = []
        self.witnesses: list[Callable[[Exchange], None]] = []
        self.operations: dict[str, Operation] = {}
        # By resource id in lower case: what was deployed, and resources that are only kept.
        self.deployments: dict[str, Json] = {}
        self.deployment_operations: dict[str, list[Json]] = {}
        self.deployment_templates: dict[str, Json] = {}
        self.plain: dict[str, Json] = {}
        # What event subscriptions were made of, with their webhooks' addresses.
        self.subscribed: dict[str, Json] = {}

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

    def delete_registry(self, registry: Registry) -> None:
        """Delete a registry with its tasks, their identities, and its role assignments."""
        for task in registry.tasks.values():
            self.directory.delete(str((task.identity or {}).get("principalId")))
        self.state.remove(registry.id)
        self.roles.forget_scope(registry.id)
