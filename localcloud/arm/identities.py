"""The identities of a resource: its own, and the user-assigned ones that it was given.

Source of the shape: ARM's `identity` of a resource, learn.microsoft.com, "Managed identities".
"""

from __future__ import annotations

from localcloud.arm.errors import ArmError
from localcloud.arm.model import Arm
from localcloud.directory import TENANT_ID, Principal
from localcloud.identity import Identities
from localcloud.state import Json, Resource


def assigned(arm: Arm, known: Resource | None, resource_id: str, body: Json) -> Json:
    """Return the `identity` of a resource that is written, in a dictionary; empty for none.

    Args:
        arm: For the principals.
        known: The resource as it was.
        resource_id: Its id.
        body: What a client sent; without `identity`, that stays as it is.

    Raises:
        ArmError: It names an identity that is not there.
    """
    before: Json = (known.more.get("identity") if known else None) or {}
    if "identity" not in body:
        return {"identity": before} if before else {}
    given = body["identity"] or {}
    kind = str(given.get("type") or "None")
    own = "systemassigned" in kind.lower()
    result: Json = {"type": kind}
    if own:
        principal_id = before.get("principalId")
        if principal_id is None:
            name = resource_id.rpartition("/")[2]
            principal_id = arm.directory.create(name, resource_id).object_id
        result |= {"principalId": principal_id, "tenantId": TENANT_ID}
    elif "principalId" in before:
        arm.directory.delete(str(before["principalId"]))
    others = {}
    for name in given.get("userAssignedIdentities") or {}:
        identity = arm.state.resource(name)
        if identity is None:
            raise ArmError(
                400,
                "FailedIdentityOperation",
                f"Identity operation for resource '{resource_id}' failed with error 'Failed to"
                f" perform resource identity operation. The resource '{name}' was not found.'.",
            )
        others[name] = {key: identity.properties[key] for key in ("principalId", "clientId")}
    if others:
        result["userAssignedIdentities"] = others
    return {"identity": result} if own or others else {}


def identities_of(arm: Arm, resource: Resource) -> Identities:
    """Return whom a resource may be, by the identity endpoint."""
    told: Json = resource.more.get("identity") or {}

    def principal(object_id: object) -> Principal | None:
        return arm.directory.by_object_id(str(object_id))

    others = [
        principal(o["principalId"]) for o in (told.get("userAssignedIdentities") or {}).values()
    ]
    own = principal(told["principalId"]) if "principalId" in told else None
    return Identities(own, tuple(other for other in others if other is not None))


def forget_identity(arm: Arm, resource: Resource) -> None:
    """Delete the identity of a resource that is deleted."""
    told: Json = resource.more.get("identity") or {}
    if "principalId" in told:
        arm.directory.delete(str(told["principalId"]))
