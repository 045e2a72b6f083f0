"""The images of a registry, through its own API."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from azure.containerregistry import ContainerRegistryClient
from azure.core.credentials import TokenCredential

from rebuilder.azure._errors import translated
from rebuilder.errors import NotFound

_PUBLIC_ARM = "https://management.azure.com"
_PUBLIC_AUDIENCE = "https://containerregistry.azure.net"
_TIMEOUTS: dict[str, Any] = {"connection_timeout": 10, "read_timeout": 60}


class AcrImages:
    """An Images; see rebuilder.ports.

    Args:
        credential: The identity.
        arm_endpoint: ARM's address; other clouds' registries take tokens for their ARM.
    """

    def __init__(self, credential: TokenCredential, arm_endpoint: str) -> None:
        self._credential = credential
        self._audience = _PUBLIC_AUDIENCE if arm_endpoint == _PUBLIC_ARM else arm_endpoint
        self._clients: dict[str, ContainerRegistryClient] = {}
        self._created: dict[tuple[str, str, str], datetime] = {}

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    def digest(self, login_server: str, repository: str, tag: str) -> str | None:
        """Return what a tag names; see Images."""
        try:
            with translated(f"read the tag {login_server}/{repository}:{tag}"):
                properties = self._client(login_server).get_tag_properties(repository, tag)
                return str(properties.digest)
        except NotFound:
            return None

    def created(self, login_server: str, repository: str, digest: str) -> datetime | None:
        """Return when a digest came; see Images."""
        # A manifest keeps its time for life, and a plan asks once per task.
        key = (login_server, repository, digest)
        if key not in self._created:
            found = self._read_created(login_server, repository, digest)
            if found is None:
                return None
            self._created[key] = found
        return self._created[key]

    def _read_created(self, login_server: str, repository: str, digest: str) -> datetime | None:
        try:
            with translated(f"read the manifest {login_server}/{repository}@{digest}"):
                client = self._client(login_server)
                return client.get_manifest_properties(repository, digest).created_on
        except NotFound:
            return None

    def _client(self, login_server: str) -> ContainerRegistryClient:
        if login_server not in self._clients:
            self._clients[login_server] = ContainerRegistryClient(
                f"https://{login_server}", self._credential, audience=self._audience, **_TIMEOUTS
            )
        return self._clients[login_server]
