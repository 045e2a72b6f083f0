"""Resources that are only kept, and the paths and words that every type has in common."""

from __future__ import annotations

from collections.abc import Mapping

from localcloud.arm.errors import ArmError
from localcloud.arm.model import Arm
from localcloud.state import Json, Resource

ANY: frozenset[str] = frozenset()
SUBSCRIPTION = r"/subscriptions/(?P<s>[^/]+)"
GROUP = rf"{SUBSCRIPTION}/resourceGroups/(?P<g>[^/]+)"

GROUP_TYPE = "Microsoft.Resources/resourceGroups"
IDENTITY_TYPE = "Microsoft.ManagedIdentity/userAssignedIdentities"
REGISTRY_TYPE = "Microsoft.ContainerRegistry/registries"


def wire(resource: Resource) -> Json:
    """Return a kept resource in ARM's form."""
    return {
        "id": resource.id,
        "name": resource.name,
        "type": resource.type,
        "location": resource.location,
        "tags": resource.tags,
        **resource.more,
        "properties": {n: v for n, v in resource.properties.items() if v is not None},
    }


def group_of(arm: Arm, params: Mapping[str, str]) -> Resource:
    """Return the resource group of a path.

    Raises:
        ArmError: There is none.
    """
    found = arm.state.resource(group_id(params))
    if found is None:
        name = params["g"]
        raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
    return found


def group_id(params: Mapping[str, str]) -> str:
    """Return the id of the resource group of a path."""
    return f"/subscriptions/{params['s']}/resourceGroups/{params['g']}"


def location_of(body: Json) -> str:
    """Return the region that a body names, as ARM spells it.

    Raises:
        ArmError: It names none.
    """
    location = str(body.get("location") or "")
    if not location:
        raise ArmError(
            400, "LocationRequired", "The location property is required for this definition."
        )
    return location.lower().replace(" ", "")


def missing(kind: str, name: str, group: str) -> ArmError:
    """Return ARM's own answer to a resource that is not in its group."""
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{name}' under resource group '{group}' was not found. For more"
        " details please go to https://aka.ms/ARMResourceNotFoundFix",
    )
