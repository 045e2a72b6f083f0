"""Who may send ARM a request: the action that a request is, and Azure's words for no.

Source: learn.microsoft.com, "Azure custom roles" (action format) and "Troubleshoot Azure RBAC".
"""

from __future__ import annotations

from localcloud.arm.errors import ArmError
from localcloud.directory import Principal
from localcloud.roles import Roles, covers

FILTERED: set[object] = set()
"""The handlers that list what a subscription or a group holds: each sees what they may read."""

_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_SUBSCRIPTIONS = "Microsoft.Resources/subscriptions"


def filtered[H](handler: H) -> H:
    """Mark a handler that filters what it lists by itself."""
    FILTERED.add(handler)
    return handler


def action_of(method: str, path: str) -> tuple[str, str]:
    """Return the action that a request needs and the scope that it needs it on.

    A POST to `.../providers/P/registries/r/scheduleRun` is `P/registries/scheduleRun/action` on
    `.../providers/P/registries/r`.
    """
    parts = [part for part in path.split("/") if part]
    lowered = [part.lower() for part in parts]
    if "providers" not in lowered:
        kinds = [name for name in parts[::2] if name.lower() != "subscriptions"]
        action = "/".join([_SUBSCRIPTIONS, *kinds])
        collection = len(parts) % 2 == 1
        return f"{action}/{_VERBS.get(method, 'action')}", _join(
            parts[:-1] if collection else parts
        )
    # What extends a resource (a role assignment on a registry) stands behind a second "providers".
    start = len(lowered) - 1 - lowered[::-1].index("providers")
    rest = parts[start + 1 :]
    kinds = [rest[0], *rest[1::2]]
    collection = len(rest) % 2 == 0
    scope = parts[:-1] if collection else parts
    if collection and len(rest) == 2:  # noqa: PLR2004 - a provider and a type
        scope = parts[:start]
    return f"{'/'.join(kinds)}/{_VERBS.get(method, 'action')}", _join(scope)


def _join(parts: list[str]) -> str:
    return "/" + "/".join(parts)


def require(roles: Roles, principal: Principal, action: str, scope: str) -> None:
    """Let somebody do something.

    Raises:
        ArmError: 403 AuthorizationFailed; no role allows it.
    """
    if not roles.allows(principal.object_id, action, scope):
        raise ArmError(
            403,
            "AuthorizationFailed",
            f"The client '{principal.client_id}' with object id '{principal.object_id}' does not"
            f" have authorization to perform action '{action}' over scope '{scope}' or the scope"
            " is invalid. If access was recently granted, please refresh your credentials.",
        )


def sees_subscription(roles: Roles, principal: Principal, subscription: str) -> bool:
    """Tell whether somebody has any role in a subscription, which is when it is listed."""
    scope = f"/subscriptions/{subscription}"
    return any(
        assignment.principal_id == principal.object_id
        and (covers(assignment.scope, scope) or covers(scope, assignment.scope))
        for assignment in roles.assignments()
    )
