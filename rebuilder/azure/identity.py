"""Who the product is in Azure."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from azure.core.credentials import TokenCredential

from rebuilder.azure._errors import translated

PUBLIC_ARM = "https://management.azure.com"
_PUBLIC_AUDIENCE = "https://containerregistry.azure.net"
# Microsoft alone answers under these, so a token shown there goes to nobody else.
_REGISTRIES = (".azurecr.io", ".azurecr.cn", ".azurecr.us")
_MANAGED = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT", "AZURE_FEDERATED_TOKEN_FILE")


def credential(client_id: str, env: Mapping[str, str] = os.environ) -> TokenCredential:
    """Return the identity to use.

    Args:
        client_id: Of a user-assigned identity; empty for the system-assigned one.
        env: Where the platform says that it offers a managed identity.

    Returns:
        The managed identity where there is one, as in Azure Functions; else the developer's own
        credentials: Azure CLI, Azure Developer CLI, Azure PowerShell, environment.
    """
    # Imported late: half a second, which the embedded commands need not spend at start.
    from azure import identity  # noqa: PLC0415

    if any(name in env for name in _MANAGED[:2]):
        return identity.ManagedIdentityCredential(client_id=client_id or None)
    if _MANAGED[2] in env:
        return identity.WorkloadIdentityCredential(client_id=client_id or None)
    return identity.DefaultAzureCredential(
        exclude_managed_identity_credential=True,
        exclude_interactive_browser_credential=True,
    )


def registry_audience(arm_endpoint: str) -> str:
    """Return for whom a token must be that Azure's container registries take.

    Args:
        arm_endpoint: ARM's address; other clouds' registries take tokens for their ARM.
    """
    return _PUBLIC_AUDIENCE if arm_endpoint == PUBLIC_ARM else arm_endpoint


def registry_tokens(identity: TokenCredential, arm_endpoint: str) -> Callable[[str], str | None]:
    """Return what gives the identity's tokens for Azure container registries, by their hosts.

    Args:
        identity: The identity.
        arm_endpoint: ARM's address; other clouds' registries take tokens for their ARM.

    Returns:
        A function of a host; it gives None for every other host, and raises Denied or
        TransientError if there is no token.
    """
    audience = registry_audience(arm_endpoint)

    def token(host: str) -> str | None:
        if not host.endswith(_REGISTRIES):
            return None
        with translated(f"get a token for {host}"):
            return identity.get_token(f"{audience}/.default").token

    return token


def tokens_for(identity: TokenCredential) -> Callable[[str], str]:
    """Return what gives the identity's tokens by whom they are for.

    Returns:
        A function of an audience, which raises Denied or TransientError if there is no token.
    """

    def token(audience: str) -> str:
        with translated(f"get a token for {audience}"):
            return identity.get_token(f"{audience.rstrip('/')}/.default").token

    return token
