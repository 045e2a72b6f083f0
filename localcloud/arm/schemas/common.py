"""What every resource of ARM has."""

from __future__ import annotations

from collections.abc import Mapping

from localcloud.arm.schema import (
    Anything,
    Flag,
    Items,
    Kind,
    Map,
    Member,
    Object,
    Text,
    Word,
    required,
    told,
)

TEXT, FLAG, ANYTHING = Text(), Flag(), Anything()
TEXTS = Items(TEXT)
TAGS = Map(TEXT)
STATUS = Word("Status", "Enabled", "Disabled")
ID = {"id": told(TEXT), "name": told(TEXT), "type": told(TEXT), "systemData": told(ANYTHING)}

_ASSIGNED = Object("UserAssignedIdentity", {"principalId": told(TEXT), "clientId": told(TEXT)})
IDENTITY = Object(
    "Identity",
    {
        "type": Word(
            "ResourceIdentityType",
            *("None", "SystemAssigned", "UserAssigned"),
            *("SystemAssigned, UserAssigned", "SystemAssigned,UserAssigned"),
        ),
        "principalId": told(TEXT),
        "tenantId": told(TEXT),
        "userAssignedIdentities": Map(_ASSIGNED),
    },
)


def names(*members: str) -> dict[str, Kind]:
    """Return members that this cloud does not look into, by name."""
    return dict.fromkeys(members, ANYTHING)


def resource(
    name: str,
    properties: Object,
    more: Mapping[str, Kind | Member] | None = None,
    *,
    location: bool = True,
) -> Object:
    """Return a resource with its properties.

    Args:
        name: What ARM calls its type.
        properties: Its properties.
        more: What stands beside them.
        location: Whether it must say where it is.
    """
    members: dict[str, Kind | Member] = {**ID, "tags": TAGS, "properties": properties}
    members["location"] = required(TEXT) if location else TEXT
    return Object(name, {**members, **(more or {})})


def proxy(
    name: str, properties: Object | Map, more: Mapping[str, Kind | Member] | None = None
) -> Object:
    """Return a resource that has neither region nor tags."""
    return Object(name, {**ID, "properties": properties, **(more or {})})


GROUP = resource(
    "ResourceGroup",
    Object("ResourceGroupProperties", {"provisioningState": told(TEXT)}),
    {"managedBy": TEXT},
)
USER_ASSIGNED = resource(
    "Identity",
    Object(
        "UserAssignedIdentityProperties",
        {
            **{name: told(TEXT) for name in ("tenantId", "principalId", "clientId")},
            "isolationScope": Word("IsolationScope", "None", "Regional"),
        },
    ),
)
ERROR = Object(
    "ErrorResponse",
    {
        "error": required(
            Object(
                "ErrorDetail",
                {
                    "code": required(TEXT),
                    "message": required(TEXT),
                    "target": TEXT,
                    "details": Items(ANYTHING),
                    "additionalInfo": ANYTHING,
                },
            )
        )
    },
)
OPERATION = Object(
    "OperationStatus",
    {
        "id": TEXT,
        "name": TEXT,
        "status": required(TEXT),
        "startTime": TEXT,
        "endTime": TEXT,
        "properties": ANYTHING,
        "error": ANYTHING,
    },
)
