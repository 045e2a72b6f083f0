"""Azure's role-based access control: definitions, assignments, and who may do what where.

Source of the built-in roles: MicrosoftDocs/azure-docs, role-based-access-control/built-in-roles.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

_ACR = "Microsoft.ContainerRegistry/registries"
_REPOSITORIES = f"{_ACR}/repositories"
_AUTHORIZATION = "Microsoft.Authorization"


@dataclass(frozen=True, slots=True)
class Permission:
    """What a role allows: patterns of actions, where `*` stands for anything.

    Attributes:
        actions: On the resource, through ARM.
        not_actions: What is taken away from those.
        data_actions: On what the resource holds.
        not_data_actions: What is taken away from those.
    """

    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()

    def allows(self, action: str, *, data: bool) -> bool:
        """Tell whether an action, or a data action, is allowed."""
        given, taken = (
            (self.data_actions, self.not_data_actions) if data else (self.actions, self.not_actions)
        )
        return _any_matches(given, action) and not _any_matches(taken, action)


@dataclass(frozen=True, slots=True)
class Role:
    """A role definition.

    Attributes:
        id: Its GUID.
        name: Its name, unique in the tenant.
        description: For a person.
        permissions: What it allows.
        scopes: Where it may be assigned.
        built_in: Whether it is Azure's own.
    """

    id: str
    name: str
    description: str
    permissions: tuple[Permission, ...]
    scopes: tuple[str, ...] = ("/",)
    built_in: bool = True


@dataclass(frozen=True, slots=True)
class Assignment:
    """A role assignment.

    Attributes:
        id: Its GUID.
        role: The role's GUID.
        principal_id: The object id of who has the role.
        principal_type: What that is: ServicePrincipal, User.
        scope: Where: a resource, a resource group, a subscription, or "/" for everywhere.
        description: For a person.
        created: When it was made, in ARM's form; "" for one that was there from the beginning.
        updated: When it was last written.
        author: The object id of who made it.
        editor: The object id of who last wrote it.
    """

    id: str
    role: str
    principal_id: str
    principal_type: str
    scope: str
    description: str = ""
    created: str = ""
    updated: str = ""
    author: str = ""
    editor: str = ""


def _acr(*actions: str) -> tuple[str, ...]:
    return tuple(f"{_ACR}/{action}" for action in actions)


def _data(*actions: str) -> tuple[str, ...]:
    return tuple(f"{_REPOSITORIES}/{action}" for action in actions)


_TASKS = _acr(
    *(
        "agentpools/read",
        "agentpools/write",
        "agentpools/delete",
        "agentpools/listQueueStatus/action",
    ),
    *("agentpools/operationResults/status/read", "agentpools/operationStatuses/read"),
    *("tasks/read", "tasks/write", "tasks/delete", "tasks/listDetails/action"),
    *("scheduleRun/action", "listBuildSourceUploadUrl/action"),
    *("runs/read", "runs/write", "runs/listLogSasUrl/action", "runs/cancel/action"),
    *("taskruns/read", "taskruns/write", "taskruns/delete", "taskruns/listDetails/action"),
    *("taskruns/operationStatuses/read", "read"),
)

BUILT_IN: tuple[Role, ...] = (
    Role(
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
        "Owner",
        "Grants full access to manage all resources, including the ability to assign roles.",
        (Permission(("*",)),),
    ),
    Role(
        "b24988ac-6180-42a0-ab88-20f7382dd24c",
        "Contributor",
        "Grants full access to manage all resources, but not to assign roles.",
        (
            Permission(
                ("*",),
                (
                    f"{_AUTHORIZATION}/*/Delete",
                    f"{_AUTHORIZATION}/*/Write",
                    f"{_AUTHORIZATION}/elevateAccess/Action",
                ),
            ),
        ),
    ),
    Role(
        "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        "Reader",
        "View all resources, but make no changes.",
        (Permission(("*/read",)),),
    ),
    Role(
        "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
        "User Access Administrator",
        "Manage access to Azure resources.",
        (Permission(("*/read", f"{_AUTHORIZATION}/*", "Microsoft.Support/*")),),
    ),
    Role(
        "7f951dda-4ed3-4680-a7ca-43fe172d538d",
        "AcrPull",
        "Pull artifacts from a container registry.",
        (Permission(_acr("pull/read")),),
    ),
    Role(
        "8311e382-0749-4cb8-b61a-304f252e45ec",
        "AcrPush",
        "Push artifacts to or pull artifacts from a container registry.",
        (Permission(_acr("pull/read", "push/write")),),
    ),
    Role(
        "c2f4ef07-c644-48eb-af81-4b1b4947fb11",
        "AcrDelete",
        "Delete repositories, tags, or manifests from a container registry.",
        (Permission(_acr("artifacts/delete")),),
    ),
    Role(
        "fb382eab-e894-4461-af04-94435c366c3f",
        "Container Registry Tasks Contributor",
        "Configure, read, list, trigger, or cancel tasks, runs, run logs and agent pools.",
        (
            Permission(
                (
                    *_TASKS,
                    "Microsoft.Resources/deployments/*",
                    "Microsoft.Resources/subscriptions/resourceGroups/read",
                )
            ),
        ),
    ),
    Role(
        "b93aa761-3e63-49ed-ac28-beffa264f7ac",
        "Container Registry Repository Reader",
        "Read repositories of an ABAC-enabled registry.",
        (Permission(data_actions=_data("metadata/read", "content/read")),),
    ),
    Role(
        "2a1e307c-b015-4ebd-883e-5b7698a07328",
        "Container Registry Repository Writer",
        "Read and write repositories of an ABAC-enabled registry.",
        (
            Permission(
                data_actions=_data(
                    "metadata/read", "content/read", "metadata/write", "content/write"
                )
            ),
        ),
    ),
    Role(
        "2efddaa5-3f1f-4df3-97df-af3f13818f4c",
        "Container Registry Repository Contributor",
        "Read, write and delete repositories of an ABAC-enabled registry.",
        (
            Permission(
                data_actions=_data(
                    *("metadata/read", "content/read", "metadata/write", "content/write"),
                    *("metadata/delete", "content/delete"),
                )
            ),
        ),
    ),
    Role(
        "bfdb9389-c9a5-478a-bb2f-ba9ca092c3c7",
        "Container Registry Repository Catalog Lister",
        "List the repositories of an ABAC-enabled registry.",
        (Permission(data_actions=_acr("catalog/read")),),
    ),
    Role(
        "577a9874-89fd-4f24-9dbd-b5034d0ad23a",
        "Container Registry Data Importer and Data Reader",
        "Import images into a registry, list its repositories, and pull from it.",
        (
            Permission(
                _acr("importImage/action", "read", "pull/read"),
                data_actions=(
                    *_data("metadata/read", "content/read"),
                    *_acr("catalog/read"),
                ),
            ),
        ),
    ),
    Role(
        "f1a07417-d97a-45cb-824c-7a7467783830",
        "Managed Identity Operator",
        "Read and assign user-assigned identities.",
        (
            Permission(
                (
                    "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
                    "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
                    f"{_AUTHORIZATION}/*/read",
                    "Microsoft.Resources/subscriptions/resourceGroups/read",
                )
            ),
        ),
    ),
)


class Roles:
    """Every role definition and assignment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._roles = {role.id: role for role in BUILT_IN}
        self._assignments: dict[str, Assignment] = {}

    def roles(self) -> list[Role]:
        """Every role definition."""
        with self._lock:
            return list(self._roles.values())

    def role(self, name: str) -> Role | None:
        """The role of a GUID or a name, in any case."""
        wanted = name.lower()
        return next((r for r in self.roles() if wanted in (r.id, r.name.lower())), None)

    def define(self, role: Role) -> None:
        """Add or replace a role definition."""
        with self._lock:
            self._roles[role.id] = role

    def forget(self, role_id: str) -> None:
        """Remove a role definition."""
        with self._lock:
            self._roles.pop(role_id, None)

    def assignments(self) -> list[Assignment]:
        """Every role assignment, oldest first."""
        with self._lock:
            return list(self._assignments.values())

    def put(self, assignment: Assignment) -> None:
        """Add or replace a role assignment."""
        with self._lock:
            self._assignments[assignment.id] = assignment

    def revoke(self, assignment_id: str) -> Assignment | None:
        """Remove a role assignment; return it if it was there."""
        with self._lock:
            return self._assignments.pop(assignment_id, None)

    def forget_scope(self, scope: str) -> None:
        """Remove the role assignments on a resource that is deleted, and on what it held."""
        with self._lock:
            kept = {k: a for k, a in self._assignments.items() if not covers(scope, a.scope)}
            self._assignments = kept

    def assign(self, role: str, principal_id: str, scope: str) -> Assignment:
        """Give somebody a role, by its name or GUID.

        Raises:
            ValueError: There is no such role.
        """
        found = self.role(role)
        if found is None:
            raise ValueError(f"there is no role {role}")
        made = Assignment(str(uuid.uuid4()), found.id, principal_id, "ServicePrincipal", scope)
        self.put(made)
        return made

    def allows(self, principal_id: str, action: str, scope: str, *, data: bool = False) -> bool:
        """Tell whether somebody may do something.

        Args:
            principal_id: Who, by object id.
            action: What, for example `Microsoft.ContainerRegistry/registries/tasks/read`.
            scope: On which resource.
            data: Whether it is a data action.
        """
        return any(
            permission.allows(action, data=data)
            for permission in self.permissions(principal_id, scope)
        )

    def permissions(self, principal_id: str, scope: str) -> list[Permission]:
        """What somebody's roles at a scope, and above it, allow and take away."""
        with self._lock:
            roles = [
                self._roles.get(assignment.role)
                for assignment in self._assignments.values()
                if assignment.principal_id == principal_id and covers(assignment.scope, scope)
            ]
        return [permission for role in roles if role for permission in role.permissions]


def covers(outer: str, inner: str) -> bool:
    """Tell whether a scope is another one or holds it."""
    outer, inner = outer.strip("/").lower(), inner.strip("/").lower()
    return not outer or inner == outer or inner.startswith(f"{outer}/")


def _any_matches(patterns: Iterable[str], action: str) -> bool:
    return any(_pattern(pattern).fullmatch(action) for pattern in patterns)


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    # Between two slashes a wildcard stands for nothing, too: Managed Identity Operator may assign
    # identities by `userAssignedIdentities/*/assign/action`.
    parts = (re.escape(part) for part in pattern.replace("/*/", "/**").split("**"))
    return re.compile("(?:.*/)?".join(_text(part) for part in parts), re.IGNORECASE)


def _text(escaped: str) -> str:
    return escaped.replace(r"\*", ".*")
