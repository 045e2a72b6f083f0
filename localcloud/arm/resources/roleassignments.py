"""Role assignments."""

from __future__ import annotations

import re
import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.model import Arm, Route
from localcloud.arm.resources.roledefinitions import (
    AND,
    AT_SCOPE,
    PROVIDER,
    SCOPE,
    role_of,
    scope_of,
    subscription_of,
)
from localcloud.arm.schemas import roles as schemas
from localcloud.directory import TENANT_ID, Principal
from localcloud.roles import Assignment, covers
from localcloud.state import Json, told

_ASSIGNMENTS = rf"{SCOPE}{PROVIDER}/roleAssignments"
_ASSIGNMENT = rf"{_ASSIGNMENTS}/(?P<a>[^/]+)"
_PRINCIPAL = re.compile(r"(?:principalId eq |assignedTo\()'([^']*)'\)?", re.IGNORECASE)

# How many parts an id has: of a subscription, of a group, of a resource, and up to a child's name.
_SUBSCRIPTION, _GROUP, _RESOURCE, _CHILD = 2, 4, 8, 9


def _list_assignments(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    scope = scope_of(params)
    found = [a for a in arm.roles.assignments() if covers(a.scope, scope) or covers(scope, a.scope)]
    for part in filter(None, AND.split(request.query_params.get("$filter", ""))):
        if match := _PRINCIPAL.fullmatch(part):
            found = [a for a in found if a.principal_id == match[1].lower()]
        elif AT_SCOPE.fullmatch(part):
            found = [a for a in found if covers(a.scope, scope)]
        else:
            raise ArmError(400, "UnsupportedQuery", f"The filter '{part}' is not supported.")
    return paging.listed(arm, request, [_assignment(assignment) for assignment in found])


def _assignment(assignment: Assignment) -> Json:
    scope = assignment.scope.rstrip("/")
    base = f"{subscription_of(scope)}/providers/Microsoft.Authorization/roleDefinitions"
    return {
        "id": f"{scope}/providers/Microsoft.Authorization/roleAssignments/{assignment.id}",
        "name": assignment.id,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": f"{base}/{assignment.role}",
            "principalId": assignment.principal_id,
            "principalType": assignment.principal_type,
            "scope": assignment.scope,
            "description": assignment.description or None,
            "condition": None,
            "conditionVersion": None,
            **told(
                {
                    "createdOn": assignment.created,
                    "updatedOn": assignment.updated,
                    "createdBy": assignment.author,
                    "updatedBy": assignment.editor,
                }
            ),
        },
    }


def _put_assignment(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    try:
        uuid.UUID(params["a"])
    except ValueError as error:
        raise ArmError(
            400,
            "InvalidRoleAssignmentId",
            f"The role assignment ID '{params['a']}' is not valid. It must be a GUID.",
        ) from error
    properties = body.get("properties") or {}
    if properties.get("condition"):
        raise ArmError(
            400, "ConditionNotSupported", "The local cloud does not evaluate role conditions."
        )
    scope = scope_of(params)
    _check_scope(arm, scope)
    role = role_of(arm, str(properties.get("roleDefinitionId") or "").rpartition("/")[2])
    principal = _principal(arm, properties)
    if not any(covers(allowed, scope) for allowed in role.scopes):
        raise ArmError(
            400, "ScopeNotAssignable", f"The role '{role.name}' may not be assigned at '{scope}'."
        )
    given = (role.id, principal.object_id, scope.lower())
    held = None
    for known in arm.roles.assignments():
        same = (known.role, known.principal_id, known.scope.lower()) == given
        if known.id == params["a"].lower():
            held = known
        elif same:
            raise ArmError(409, "RoleAssignmentExists", "The role assignment already exists.")
        if known is held and not same:
            raise ArmError(
                400,
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
            )
    assignment = Assignment(
        params["a"].lower(),
        role.id,
        principal.object_id,
        principal.kind,
        scope,
        properties.get("description") or "",
        held.created if held else arm.now(),
        arm.now(),
        held.author if held else arm.principal(request).object_id,
        arm.principal(request).object_id,
    )
    arm.roles.put(assignment)
    return JSONResponse(_assignment(assignment), 200 if held else 201)


def _check_scope(arm: Arm, scope: str) -> None:
    """Refuse a scope that is not there; the words are those for any request below it."""
    parts = [part.lower() for part in scope.split("/") if part]
    if len(parts) < _SUBSCRIPTION or parts[0] != "subscriptions":
        raise ArmError(400, "InvalidScope", f"The scope '{scope}' is not valid.")
    if parts[1] not in arm.state.subscriptions:
        raise ArmError(
            404, "SubscriptionNotFound", f"The subscription '{parts[1]}' could not be found."
        )
    if len(parts) == _SUBSCRIPTION:
        return
    if len(parts) == _GROUP:
        if arm.state.resource(scope) is None:
            message = f"Resource group '{scope.rpartition('/')[2]}' could not be found."
            raise ArmError(404, "ResourceGroupNotFound", message)
        return
    registry = arm.state.by_id("/".join(["", *parts[:_RESOURCE]]))
    task = registry and parts[_RESOURCE:_CHILD] == ["tasks"] and registry.tasks.get(parts[-1])
    if not task and arm.state.resource(scope) is None and (not registry or len(parts) > _RESOURCE):
        raise not_found(scope)


def _principal(arm: Arm, properties: Json) -> Principal:
    """Return who is to have a role.

    Raises:
        ArmError: Nobody has the object id, or somebody of another type.
    """
    object_id = str(properties.get("principalId"))
    principal = arm.directory.by_object_id(object_id)
    if principal is None:
        raise ArmError(
            400,
            "PrincipalNotFound",
            f"Principal {object_id.replace('-', '')} does not exist in the directory {TENANT_ID}."
            " Check that you have the correct principal ID. If you are creating this principal and"
            " then immediately assigning a role, this error might be related to a replication"
            " delay. In this case, set the role assignment principalType property to a value, such"
            " as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
        )
    kind = properties.get("principalType") or principal.kind
    if kind != principal.kind:
        raise ArmError(
            400,
            "UnmatchedPrincipalType",
            f"The PrincipalId '{object_id.replace('-', '')}' has type '{principal.kind}' , which"
            f" is different from specified PrinciaplType '{kind}'.",
        )
    return principal


def _find(arm: Arm, params: dict[str, str]) -> Assignment | None:
    """Return the assignment of a path; one on another scope is not the one of this path."""
    key, scope = params["a"].lower(), scope_of(params).lower()
    found = (a for a in arm.roles.assignments() if (a.id, a.scope.lower()) == (key, scope))
    return next(found, None)


def _get_assignment(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    found = _find(arm, params)
    if found is None:
        raise ArmError(
            404, "RoleAssignmentNotFound", f"The role assignment '{params['a']}' is not found."
        )
    return JSONResponse(_assignment(found))


def _delete_assignment(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    found = _find(arm, params)
    if found is None:
        return Response(status_code=204)
    arm.roles.revoke(found.id)
    return JSONResponse(_assignment(found))


ROUTES: tuple[Route, ...] = (
    Route("GET", _ASSIGNMENTS, versions.ROLES, _list_assignments),
    Route("GET", _ASSIGNMENT, versions.ROLES, _get_assignment),
    Route("PUT", _ASSIGNMENT, versions.ROLES, _put_assignment, schemas.ASSIGNMENT),
    Route("DELETE", _ASSIGNMENT, versions.ROLES, _delete_assignment),
)
