"""An Azure container registry: the OCI distribution API, ACR's own API, its tokens and events."""

from __future__ import annotations

from localcloud.registry.content import RegistryService

__all__ = ["RegistryService"]
