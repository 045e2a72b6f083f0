"""Role definitions.

Source of the shapes: Microsoft.Authorization 2022-04-01, the REST reference; of the filters:
learn.microsoft.com, "List Azure role assignments using the REST API" and "List Azure role
definitions"; of the errors: "Troubleshoot Azure RBAC", and what users report.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.access import require_linked
from localcloud.arm.errors import ArmError
from localcloud.arm.model import Arm, Route
from localcloud.arm.schemas import roles as schemas
from localcloud.roles import Permission, Role, covers
from localcloud.state import Json

_TYPE = "Microsoft.Authorization/roleDefinitions"
SCOPE = r"(?P<scope>(?:/.*)?)"
PROVIDER = r"/providers/Microsoft\.Authorization"
_DEFINITIONS = rf"{SCOPE}{PROVIDER}/roleDefinitions"
_DEFINITION = rf"{_DEFINITIONS}/(?P<d>[^/]+)"

_NAMED = re.compile(r"roleName eq '((?:[^']|'')*)'", re.IGNORECASE)
_TYPED = re.compile(r"type eq '(\w+)'", re.IGNORECASE)
AT_SCOPE = re.compile(r"atScope\(\)", re.IGNORECASE)
_BELOW = re.compile(r"atScopeAndBelow\(\)", re.IGNORECASE)
AND = re.compile(r"\s+and\s+", re.IGNORECASE)


def scope_of(params: dict[str, str]) -> str:
    """Return the scope of a path."""
    return params["scope"].rstrip("/") or "/"


def subscription_of(scope: str) -> str:
    """Return the subscription's part of a scope; role definitions are named below it."""
    match = re.match(r"/subscriptions/[^/]+", scope, re.IGNORECASE)
    return match[0] if match else ""


def _definition(role: Role, scope: str) -> Json:
    return {
        "id": f"{subscription_of(scope)}/providers/{_TYPE}/{role.id}",
        "name": role.id,
        "type": _TYPE,
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
    scope = scope_of(params)
    roles, below = arm.roles.roles(), False
    for part in filter(None, AND.split(request.query_params.get("$filter", ""))):
        if match := _NAMED.fullmatch(part):
            name = match[1].replace("''", "'").lower()
            roles = [role for role in roles if role.name.lower() == name]
        elif match := _TYPED.fullmatch(part):
            built_in = match[1].lower() == "builtinrole"
            roles = [role for role in roles if role.built_in == built_in]
        elif _BELOW.fullmatch(part):
            below = True
        elif not AT_SCOPE.fullmatch(part):
            raise ArmError(400, "InvalidFilter", f"The filter '{part}' is not supported.")
    usable = [
        role
        for role in roles
        if any(covers(s, scope) or (below and covers(scope, s)) for s in role.scopes)
    ]
    return paging.listed(arm, request, [_definition(role, scope) for role in usable])


def role_of(arm: Arm, name: str) -> Role:
    """Return the role of an id.

    Raises:
        ArmError: There is none.
    """
    role = next((r for r in arm.roles.roles() if r.id == name.lower()), None)
    if role is None:
        raise ArmError(
            404,
            "RoleDefinitionDoesNotExist",
            f"The specified role definition with ID '{name}' does not exist.",
        )
    return role


def _get_definition(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(_definition(role_of(arm, params["d"]), scope_of(params)))


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
    write = f"{_TYPE}/write"
    for scope in (*scopes, *(known.scopes if known else ())):
        # Who may define a role here may not define it for other people's subscriptions.
        require_linked(arm.roles, arm.principal(request), (write, scope_of(params)), (write, scope))
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
    return JSONResponse(_definition(role, scope_of(params)), 201)


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
    return JSONResponse(_definition(known, scope_of(params)))


ROUTES: tuple[Route, ...] = (
    Route("GET", _DEFINITIONS, versions.ROLES, _list_definitions),
    Route("GET", _DEFINITION, versions.ROLES, _get_definition),
    Route("PUT", _DEFINITION, versions.ROLES, _put_definition, schemas.DEFINITION),
    Route("DELETE", _DEFINITION, versions.ROLES, _delete_definition),
)
