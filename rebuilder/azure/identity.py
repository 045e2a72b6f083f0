"""Who the product is in Azure."""

from __future__ import annotations

import os
from collections.abc import Mapping

from azure.core.credentials import TokenCredential

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
