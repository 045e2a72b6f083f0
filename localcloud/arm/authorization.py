"""Role definitions and role assignments.

Source of the shapes: Microsoft.Authorization 2022-04-01, the REST reference; of the filters:
learn.microsoft.com, "List Azure role assignments using the REST API" and "List Azure role
definitions"; of the errors: "Troubleshoot Azure RBAC", and what users report.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.access import require_linked
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.resources import ANY
from localcloud.directory import TENANT_ID, Principal
from localcloud.roles import Assignment, Permission, Role, covers
from localcloud.state import Json

if TYPE_CHECKING:
    from localcloud.arm.app import Arm, Handler

_SCOPE = r"(?P<scope>(?:/.*)?)"
_PROVIDER = r"/providers/Microsoft\.Authorization"
_DEFINITIONS = rf"{_SCOPE}{_PROVIDER}/roleDefinitions"
_ASSIGNMENTS = rf"{_SCOPE}{_PROVIDER}/roleAssignments"
_DEFINITION = rf"{_DEFINITIONS}/(?P<d>[^/]+)"
_ASSIGNMENT = rf"{_ASSIGNMENTS}/(?P<a>[^/]+)"

_NAMED = re.compile(r"roleName eq '((?:[^']|'')*)'", re.IGNORECASE)
_TYPED = re.compile(r"type eq '(\w+)'", re.IGNORECASE)
_PRINCIPAL = re.compile(r"(?:principalId eq |assignedTo\()'([^']*)'\)?", re.IGNORECASE)
_AT_SCOPE = re.compile(r"atScope\(\)", re.IGNORECASE)
_BELOW = re.compile(r"atScopeAndBelow\(\)", re.IGNORECASE)
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)


# How many parts an id has: of a subscription, of a group, of a resource, and up to a child's name.
_SUBSCRIPTION, _GROUP, _RESOURCE, _CHILD = 2, 4, 8, 9


def _scope(params: dict[str, str]) -> str:
    return params["scope"].rstrip("/") or "/"


def _subscription(scope: str) -> str:
    """Return the subscription's part of a scope; role definitions are named below it."""
    match = re.match(r"/subscriptions/[^/]+", scope, re.IGNORECASE)
    return match[0] if match else ""


def _definition(role: Role, scope: str) -> Json:
    return {
        "id": f"{_subscription(scope)}/providers/Microsoft.Authorization/roleDefinitions/{role.id}",
        "name": role.id,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": role.name,
            "description": role.description,
            "type": "BuiltInRole" if role.built_in else "CustomRole",
            "assignableScopes": list(role.scopes),
            "permissions": [
                {
                    "actions": list(permission.actions),
                    "notActions": list(permission.not_actions),
                    "dataActions": list(permission.data_actions),
                    "notDataActions": list(permission.not_data_actions),
                }
                for permission in role.permissions
            ],
        },
    }


def _list_definitions(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    scope = _scope(params)
    roles, below = arm.roles.roles(), False
    for part in filter(None, _AND.split(request.query_params.get("$filter", ""))):
        if match := _NAMED.fullmatch(part):
            name = match[1].replace("''", "'").lower()
            roles = [role for role in roles if role.name.lower() == name]
        elif match := _TYPED.fullmatch(part):
            built_in = match[1].lower() == "builtinrole"
            roles = [role for role in roles if role.built_in == built_in]
        elif _BELOW.fullmatch(part):
            below = True
        elif not _AT_SCOPE.fullmatch(part):
            raise ArmError(400, "InvalidFilter", f"The filter '{part}' is not supported.")
    usable = [
        role
        for role in roles
        if any(covers(s, scope) or (below and covers(scope, s)) for s in role.scopes)
    ]
    return JSONResponse({"value": [_definition(role, scope) for role in usable]})


def _role(arm: Arm, name: str) -> Role:
    role = next((r for r in arm.roles.roles() if r.id == name.lower()), None)
    if role is None:
        raise ArmError(
            404,
            "RoleDefinitionDoesNotExist",
            f"The specified role definition with ID '{name}' does not exist.",
        )
    return role


def _get_definition(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(_definition(_role(arm, params["d"]), _scope(params)))


def _put_definition(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    properties = body.get("properties") or {}
    name, scopes = properties.get("roleName"), properties.get("assignableScopes")
    if not name or not scopes:
        raise ArmError(
            400, "InvalidRoleDefinition", "properties.roleName and assignableScopes are required."
        )
    key = params["d"].lower()
    known = next((role for role in arm.roles.roles() if role.id == key), None)
    if known is not None and known.built_in:
        raise ArmError(
            400, "RoleDefinitionCannotBeUpdated", f"The role '{known.name}' is built in."
        )
    named = arm.roles.role(name)
    if named is not None and named.id != key:
        raise ArmError(
            409,
            "RoleDefinitionWithSameNameExists",
            f"A custom role with the same name '{name}' already exists in this directory.",
        )
    write = "Microsoft.Authorization/roleDefinitions/write"
    for scope in (*scopes, *(known.scopes if known else ())):
        # Who may define a role here may not define it for other people's subscriptions.
        require_linked(arm.roles, arm.principal(request), (write, _scope(params)), (write, scope))
    permissions = tuple(
        Permission(
            *(
                tuple(permission.get(kind) or ())
                for kind in ("actions", "notActions", "dataActions", "notDataActions")
            )
        )
        for permission in properties.get("permissions") or []
    )
    description = properties.get("description") or ""
    role = Role(key, name, description, permissions, tuple(scopes), built_in=False)
    arm.roles.define(role)
    # 201 for a changed one, too: azure-mgmt-authorization takes nothing else.
    return JSONResponse(_definition(role, _scope(params)), 201)


def _delete_definition(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    key = params["d"].lower()
    if any(assignment.role == key for assignment in arm.roles.assignments()):
        raise ArmError(
            400,
            "RoleDefinitionHasAssignments",
            "There are existing role assignments referencing role"
            f" (code: RoleDefinitionHasAssignments) '{key}'.",
        )
    known = next((role for role in arm.roles.roles() if role.id == key), None)
    if known is None:
        return Response(status_code=204)
    if known.built_in:
        raise ArmError(
            400, "RoleDefinitionCannotBeDeleted", f"The role '{known.name}' is built in."
        )
    arm.roles.forget(key)
    return JSONResponse(_definition(known, _scope(params)))


def _assignment(assignment: Assignment) -> Json:
    scope = assignment.scope.rstrip("/")
    base = f"{_subscription(scope)}/providers/Microsoft.Authorization/roleDefinitions"
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
        },
    }


def _put_assignment(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
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
    scope = _scope(params)
    _check_scope(arm, scope)
    role = _role(arm, str(properties.get("roleDefinitionId") or "").rpartition("/")[2])
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
    key, scope = params["a"].lower(), _scope(params).lower()
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


def _list_assignments(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    scope = _scope(params)
    found = [a for a in arm.roles.assignments() if covers(a.scope, scope) or covers(scope, a.scope)]
    for part in filter(None, _AND.split(request.query_params.get("$filter", ""))):
        if match := _PRINCIPAL.fullmatch(part):
            found = [a for a in found if a.principal_id == match[1].lower()]
        elif _AT_SCOPE.fullmatch(part):
            found = [a for a in found if covers(a.scope, scope)]
        else:
            raise ArmError(400, "UnsupportedQuery", f"The filter '{part}' is not supported.")
    return JSONResponse({"value": [_assignment(assignment) for assignment in found]})


ROUTES: tuple[tuple[str, str, frozenset[str], Handler], ...] = (
    ("GET", _DEFINITIONS, ANY, _list_definitions),
    ("GET", _DEFINITION, ANY, _get_definition),
    ("PUT", _DEFINITION, ANY, _put_definition),
    ("DELETE", _DEFINITION, ANY, _delete_definition),
    ("GET", _ASSIGNMENTS, ANY, _list_assignments),
    ("GET", _ASSIGNMENT, ANY, _get_assignment),
    ("PUT", _ASSIGNMENT, ANY, _put_assignment),
    ("DELETE", _ASSIGNMENT, ANY, _delete_assignment),
)
