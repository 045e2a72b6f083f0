"""Roles, 2022-04-01: definitions and assignments."""

from __future__ import annotations

from localcloud.arm.schema import Items, Member, Object, Word, required, told
from localcloud.arm.schemas.common import TEXT, TEXTS, proxy

_WHEN = {name: told(TEXT) for name in ("createdOn", "updatedOn", "createdBy", "updatedBy")}
# The document lets all of these be null in answers.
_MAYBE = Member(TEXT, nullable=True)

ASSIGNMENT = proxy(
    "RoleAssignment",
    Object(
        "RoleAssignmentProperties",
        {
            **_WHEN,
            "scope": told(TEXT),
            "roleDefinitionId": required(TEXT),
            "principalId": required(TEXT),
            "principalType": Word(
                "PrincipalType", "User", "Group", "ServicePrincipal", "ForeignGroup", "Device"
            ),
            "description": _MAYBE,
            "condition": _MAYBE,
            "conditionVersion": _MAYBE,
            "delegatedManagedIdentityResourceId": _MAYBE,
        },
    ),
)
_PERMISSION = Object(
    "Permission",
    {
        **dict.fromkeys(("actions", "notActions", "dataActions", "notDataActions"), TEXTS),
        "condition": told(TEXT),
        "conditionVersion": told(TEXT),
    },
)
DEFINITION = proxy(
    "RoleDefinition",
    Object(
        "RoleDefinitionProperties",
        {
            **_WHEN,
            "roleName": required(TEXT),
            "description": TEXT,
            "type": TEXT,
            "permissions": Items(_PERMISSION),
            "assignableScopes": required(TEXTS),
        },
    ),
)
PERMISSION = _PERMISSION
