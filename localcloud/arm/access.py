"""Who may send ARM a request: the action that a request is, and Azure's words for no.

Source: learn.microsoft.com, "Azure custom roles" (action format) and "Troubleshoot Azure RBAC".
The words about tokens are those that users report: terraform-provider-azurerm 20867 (expired),
azure-sdk-for-net 49391 (issuer), active-directory-dotnetcore-daemon-v2 145 (audience),
azure-powershell 27882 (anything else), azure-sdk-for-java 1714 (nobody).
"""

from __future__ import annotations

from datetime import datetime

from localcloud.arm.errors import ArmError
from localcloud.directory import Principal
from localcloud.roles import Roles, covers
from localcloud.state import Json
from localcloud.tokens import (
    ISSUER,
    ExpiredToken,
    InvalidToken,
    UnknownPrincipal,
    WrongAudience,
    WrongIssuer,
)

AUDIENCES = (
    "https://management.core.windows.net/",
    "https://management.core.windows.net",
    "https://management.azure.com/",
    "https://management.azure.com",
)
"""For whom a token must be, as ARM lists it when one is not."""

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


def refusal(error: InvalidToken) -> ArmError:
    """Return ARM's answer to a token that is not good."""
    if isinstance(error, ExpiredToken):
        return ArmError(
            401,
            "ExpiredAuthenticationToken",
            f"The access token expiry UTC time '{_time(error.expired)}' is earlier than current"
            f" UTC time '{_time(error.now)}'.",
        )
    if isinstance(error, WrongAudience):
        return ArmError(
            401,
            "InvalidAuthenticationTokenAudience",
            f"The access token has been obtained for wrong audience or resource '{error.audience}'."
            " It should exactly match with one of the allowed audiences"
            f" {','.join(f"'{audience}'" for audience in AUDIENCES)}.",
        )
    if isinstance(error, WrongIssuer):
        authority = ISSUER.replace("sts.windows.net", "login.windows.net").rstrip("/")
        return ArmError(
            401,
            "InvalidAuthenticationTokenTenant",
            f"The access token is from the wrong issuer '{error.issuer}'. It must match the tenant"
            f" '{ISSUER}' associated with this subscription. Please use the authority (URL)"
            f" '{authority}' to get the token. Note, if the subscription is transferred to another"
            " tenant there is no impact to the services, but information about new tenant could"
            " take time to propagate (up to an hour). If you just transferred your subscription"
            " and see this error message, please try back later.",
        )
    if isinstance(error, UnknownPrincipal):
        return ArmError(
            401,
            "InvalidAuthenticationToken",
            "The received access token is not valid: at least one of the claims 'puid' or"
            " 'altsecid' or 'oid' should be present. If you are accessing as application please"
            " make sure service principal is properly created in the tenant.",
        )
    return ArmError(401, "InvalidAuthenticationToken", "The access token is invalid.")


def _time(time: datetime) -> str:
    return f"{time.month}/{time.day}/{time.year} {int(f'{time:%I}')}:{time:%M:%S %p}"


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
            f"{_client(principal)} does not"
            f" have authorization to perform action '{action}' over scope '{scope}' or the scope"
            " is invalid. If access was recently granted, please refresh your credentials.",
        )


def require_linked(
    roles: Roles, principal: Principal, request: tuple[str, str], linked: tuple[str, str]
) -> None:
    """Let somebody do something that needs an action on another resource as well.

    Args:
        roles: Who may do what.
        principal: Who.
        request: The action and the scope of the request, which are allowed.
        linked: The action that is needed besides, and on what.

    Raises:
        ArmError: 403 LinkedAuthorizationFailed; no role allows the second one.
    """
    if not roles.allows(principal.object_id, *linked):
        raise ArmError(
            403,
            "LinkedAuthorizationFailed",
            f"{_client(principal)} has permission to perform action '{request[0]}' on scope"
            f" '{request[1]}'; however, it does not have permission to perform action"
            f" '{linked[0]}' on the linked scope(s) '{linked[1]}' or the linked scope(s) are"
            " invalid.",
        )


def linked_to(body: Json) -> list[tuple[str, str]]:
    """Return the actions, and the scopes for each, that a body needs: to give it an identity."""
    identity = body.get("identity")
    assigned = identity.get("userAssignedIdentities") if isinstance(identity, dict) else None
    action = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
    # Null takes an identity away.
    return [(action, name) for name, value in (assigned or {}).items() if value is not None]


def _client(principal: Principal) -> str:
    # A person is named by the sign-in name, everybody else by the application.
    name = principal.name if principal.kind == "User" else principal.client_id
    return f"The client '{name}' with object id '{principal.object_id}'"


def sees_subscription(roles: Roles, principal: Principal, subscription: str) -> bool:
    """Tell whether somebody has any role in a subscription, which is when it is listed."""
    scope = f"/subscriptions/{subscription}"
    return any(
        assignment.principal_id == principal.object_id
        and (covers(assignment.scope, scope) or covers(scope, assignment.scope))
        for assignment in roles.assignments()
    )
