"""Who may pull from a registry, by Azure's role assignments.

Source: learn.microsoft.com, "Azure Container Registry Entra permissions and role assignments":
in an ABAC registry the repository roles count and AcrPull does not.
"""

from __future__ import annotations

from typing import Any

from azure.core.credentials import TokenCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistry.models import Registry

from rebuilder.azure._errors import answered
from rebuilder.azure.throttle import ArmThrottle, arm_options
from rebuilder.core.acr.access import Permission, PullAccess, goes_by_repository, may_pull
from rebuilder.core.acr.registries import RegistryId


class ArmAccess:
    """An Access; see rebuilder.ports.

    Args:
        credential: The identity.
        arm_endpoint: ARM's address, without a slash at the end.
        throttle: Bounds the requests under way.
    """

    def __init__(
        self, credential: TokenCredential, arm_endpoint: str, throttle: ArmThrottle | None = None
    ) -> None:
        self._credential = credential
        self._throttle = throttle or ArmThrottle()
        self._options = arm_options(arm_endpoint)

    def close(self) -> None:
        """Do nothing: connections last for one question, which is seldom asked."""

    def pull(self, registry: RegistryId, principal: str) -> PullAccess:
        """Tell whether an identity may pull; see Access."""
        with (
            self._throttle.request(registry),
            answered(f"read the roles of {principal} on {registry}"),
            ContainerRegistryManagementClient(
                self._credential, registry.subscription, **self._options
            ) as registries,
            AuthorizationManagementClient(
                self._credential, registry.subscription, **self._options
            ) as authorization,
        ):
            found = registries.registries.get(registry.resource_group, registry.name)
            abac = by_repository(found)
            # A role with a condition counts: which repositories it means is not looked at.
            assignments = authorization.role_assignments.list_for_scope(
                str(registry), filter=f"assignedTo('{principal}')"
            )
            roles = {str(a.role_definition_id).rpartition("/")[2].lower() for a in assignments}
            # Asked at the registry, where the function app may read them, not at the subscription.
            definitions = [authorization.role_definitions.get(str(registry), r) for r in roles]
            held = [
                _permission(permission)
                for definition in definitions
                for permission in definition.permissions or []
            ]
        return may_pull(held, abac=abac)


def by_repository(registry: Registry) -> bool:
    """Tell whether a registry goes by repository permissions (ABAC)."""
    mode = registry.properties.role_assignment_mode if registry.properties else ""
    return goes_by_repository(str(getattr(mode, "value", mode)))


def _permission(given: Any) -> Permission:  # noqa: ANN401 - models of many versions
    return Permission(
        tuple(given.actions or ()),
        tuple(given.not_actions or ()),
        tuple(given.data_actions or ()),
        tuple(given.not_data_actions or ()),
    )
