"""The images of a registry, through its own API."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from azure.containerregistry import ContainerRegistryClient
from azure.core.credentials import TokenCredential
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy

from rebuilder.azure._errors import translated
from rebuilder.core.evidence import ImageContent
from rebuilder.errors import NotFound, Refused

_PUBLIC_ARM = "https://management.azure.com"
_PUBLIC_AUDIENCE = "https://containerregistry.azure.net"
_TIMEOUTS: dict[str, Any] = {"connection_timeout": 10, "read_timeout": 60}

# Source of the names: github.com/opencontainers/image-spec, annotations.md.
_BASE_NAME = "org.opencontainers.image.base.name"
_BASE_DIGEST = "org.opencontainers.image.base.digest"
_CONFIG_LIMIT = 4 << 20
_CONTENTS = 500
_TOKENS = 500
_TOKEN_SECONDS = 60.0  # a registry's own lifetime is over an hour; what is taken away ends soon


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
        self._contents: dict[tuple[str, str, str, str], ImageContent] = {}

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

    def content(
        self, login_server: str, repository: str, reference: str, platform: str
    ) -> ImageContent | None:
        """Return what an image is made of; see Images."""
        # A digest's content never changes, and many tasks are built on the same base.
        key = (login_server, repository, reference, platform)
        if key in self._contents:
            return self._contents[key]
        try:
            action = f"read the image {login_server}/{repository} at {reference}"
            with translated(action):
                found = self._read_content(self._client(login_server), *key[1:])
        except NotFound:
            return None
        except ValueError as error:
            # The SDK's own checks: a digest that does not fit, a manifest without length.
            raise Refused("INVALID_IMAGE", f"{login_server}/{repository}: {error}") from error
        if found is not None and ":" in reference:
            if len(self._contents) >= _CONTENTS:
                self._contents.clear()
            self._contents[key] = found
        return found

    def _read_content(
        self, client: ContainerRegistryClient, repository: str, reference: str, platform: str
    ) -> ImageContent | None:
        digest, manifest = _manifest(client, repository, reference)
        annotations = dict(manifest.get("annotations") or {})
        own = digest
        if "manifests" in manifest:
            chosen = _of_platform(manifest["manifests"], platform)
            if chosen is None:
                return None
            annotations |= chosen.get("annotations") or {}
            own, manifest = _manifest(client, repository, str(chosen["digest"]))
            annotations |= manifest.get("annotations") or {}
        if "config" not in manifest:
            return None
        return ImageContent(
            digest,
            own,
            annotations.get(_BASE_NAME) or "",
            annotations.get(_BASE_DIGEST) or "",
            tuple(str(layer["digest"]) for layer in manifest.get("layers") or ()),
            self._diff_ids(client, repository, manifest["config"]),
        )

    def _diff_ids(
        self, client: ContainerRegistryClient, repository: str, config: Mapping[str, Any]
    ) -> tuple[str, ...]:
        if int(config.get("size") or 0) > _CONFIG_LIMIT:
            return ()
        with client.download_blob(repository, str(config["digest"])) as stream:
            read = json.loads(b"".join(stream))
        # What is no image (a chart, a signature) has a configuration of its own kind.
        rootfs = read.get("rootfs") if isinstance(read, dict) else None
        return tuple(map(str, (rootfs or {}).get("diff_ids") or ()))

    def _client(self, login_server: str) -> ContainerRegistryClient:
        if login_server not in self._clients:
            self._clients[login_server] = ContainerRegistryClient(
                f"https://{login_server}",
                self._credential,
                audience=self._audience,
                raw_response_hook=_read_refusal,
                per_retry_policies=[_Remembered()],
                **_TIMEOUTS,
            )
        return self._clients[login_server]


class _Remembered(SansIOHTTPPolicy[Any, Any]):
    """Shows a repository the token that it took a moment ago.

    The SDK lets each request be refused, and gets two tokens before it sends it again: four round
    trips for one. A token that is not taken any more is refused, and then the SDK does the same.
    """

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[float, str]] = {}

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Add the token, if there is one."""
        until, token = self._tokens.get(_place(request), (0.0, ""))
        if time.monotonic() < until:
            request.http_request.headers["Authorization"] = token

    def on_response(
        self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]
    ) -> None:
        """Remember the token, if it was taken."""
        place, token = _place(request), request.http_request.headers.get("Authorization")
        if response.http_response.status_code >= HTTPStatus.BAD_REQUEST or not token:
            self._tokens.pop(place, None)
        elif self._tokens.get(place, (0.0, ""))[0] <= time.monotonic():
            if len(self._tokens) >= _TOKENS:
                self._tokens.clear()
            self._tokens[place] = (time.monotonic() + _TOKEN_SECONDS, token)


def _place(request: PipelineRequest[Any]) -> str:
    """Return what a token is for: a kind of thing of one repository, at one host."""
    url = urlsplit(str(request.http_request.url))
    return f"{url.netloc}{url.path.rpartition('/')[0]}"


def _read_refusal(response: PipelineResponse[Any, Any]) -> None:
    """Read an answer that is an error at once.

    The SDK streams manifests and blobs, and would leave the connection of every refusal open:
    of the one too that asks for a token, with which each request begins.
    """
    if response.http_response.status_code >= HTTPStatus.BAD_REQUEST:
        response.http_response.read()


def _manifest(
    client: ContainerRegistryClient, repository: str, reference: str
) -> tuple[str, dict[str, Any]]:
    found = client.get_manifest(repository, reference)
    manifest: dict[str, Any] = found.manifest or {}
    return str(found.digest), manifest


def _of_platform(manifests: list[dict[str, Any]], platform: str) -> dict[str, Any] | None:
    """Return the entry of an index for a platform; its variant counts only if one is asked for."""
    system, architecture, variant = (*platform.split("/"), "", "")[:3]
    for entry in manifests:
        of = entry.get("platform") or {}
        if (of.get("os"), of.get("architecture")) == (system, architecture) and (
            not variant or of.get("variant") == variant
        ):
            return entry
    return None
