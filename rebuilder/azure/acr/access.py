"""Who may pull from a registry, by Azure's role assignments.

Source: learn.microsoft.com, "Azure Container Registry Entra permissions and role assignments":
in an ABAC registry the repository roles count and AcrPull does not.
"""

from __future__ import annotations

from typing import Any

from azure.core.credentials import TokenCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerregistry import ContainerRegistryManagementClient

from rebuilder.azure._clients import TIMEOUTS
from rebuilder.azure._errors import answered
from rebuilder.azure.throttle import ArmThrottle, ReadRetryPolicy
from rebuilder.core.acr.access import Permission, PullAccess, may_pull
from rebuilder.core.acr.registries import RegistryId

_ABAC = "abacrepositorypermissions"


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
        self._options: dict[str, Any] = {
            "base_url": arm_endpoint,
            "credential_scopes": [f"{arm_endpoint}/.default"],
            "retry_policy": ReadRetryPolicy(),
            **TIMEOUTS,
        }

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
            mode = found.properties.role_assignment_mode if found.properties else ""
            abac = str(getattr(mode, "value", mode)).lower() == _ABAC
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


def _permission(given: Any) -> Permission:  # noqa: ANN401 - models of many versions
    return Permission(
        tuple(given.actions or ()),
        tuple(given.not_actions or ()),
        tuple(given.data_actions or ()),
        tuple(given.not_data_actions or ()),
    )
