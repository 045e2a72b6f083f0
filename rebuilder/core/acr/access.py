"""Who may do what in Azure, by the permissions of roles.

Source of how they add up: learn.microsoft.com, "Understand Azure role definitions": what one role
takes away, another may give; what is taken away counts within its role alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

_ACR = "Microsoft.ContainerRegistry/registries"

PULL = f"{_ACR}/pull/read"
"""The action of pulling from a registry that goes by registry permissions."""

CONTENT = f"{_ACR}/repositories/content/read"
"""The data action of pulling from a registry that goes by repository permissions (ABAC)."""

PUSH_CONTENT = f"{_ACR}/repositories/content/write"
"""The data action of pushing to such a registry."""

_BY_REPOSITORY = "abacrepositorypermissions"

ACR_PULL = "AcrPull"
REPOSITORY_READER = "Container Registry Repository Reader"
REPOSITORY_WRITER = "Container Registry Repository Writer"

READ_REGISTRY = f"{_ACR}/read"
BASE_ADVICE = (
    "Microsoft.Authorization/roleAssignments/read",
    "Microsoft.Authorization/roleDefinitions/read",
)
"""What a base registry is asked only to tell which role is missing where a build may not pull."""

TASK_ACTIONS = (
    READ_REGISTRY,
    f"{_ACR}/tasks/read",
    f"{_ACR}/scheduleRun/action",
    f"{_ACR}/runs/read",
)
"""What finding, starting and following the runs of a task registry takes."""

READ_LOG = f"{_ACR}/runs/listLogSasUrl/action"
"""What a task registry is asked only to tell why a run failed."""


class PullAccess(Struct, frozen=True):
    """Whether an identity may pull from a registry.

    Attributes:
        allowed: Whether one of its roles there allows it.
        role: The name of the role that would, in a registry of this kind.
    """

    allowed: bool
    role: str


class Permission(Struct, frozen=True):
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

    def allows(self, action: str, *, data: bool = False) -> bool:
        """Tell whether it allows an action, or a data action."""
        given = self.data_actions if data else self.actions
        taken = self.not_data_actions if data else self.not_actions
        return _matches(given, action) and not _matches(taken, action)


def goes_by_repository(mode: str) -> bool:
    """Tell whether a registry's mode of role assignments is that of repository permissions."""
    return mode.lower() == _BY_REPOSITORY


def allows(permissions: Iterable[Permission], action: str, *, data: bool = False) -> bool:
    """Tell whether any of several permissions allows an action, or a data action."""
    return any(permission.allows(action, data=data) for permission in permissions)


def missing(permissions: Iterable[Permission], actions: Iterable[str]) -> tuple[str, ...]:
    """Return the actions that none of the permissions allows, in their order."""
    held = tuple(permissions)
    return tuple(action for action in actions if not allows(held, action))


def may_pull(permissions: Iterable[Permission], *, abac: bool) -> PullAccess:
    """Tell whether permissions on a registry are enough to pull from it.

    Args:
        permissions: What is held there.
        abac: Whether the registry goes by repository permissions, so that AcrPull does not count.
    """
    allowed = allows(permissions, CONTENT, data=True) if abac else allows(permissions, PULL)
    return PullAccess(allowed, REPOSITORY_READER if abac else ACR_PULL)


def _matches(patterns: Iterable[str], action: str) -> bool:
    """Tell whether an action is among patterns in which `*` stands for anything."""
    return any(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), action, re.IGNORECASE)
        for pattern in patterns
    )
