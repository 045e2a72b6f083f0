"""The images of a registry, through its own API."""

from __future__ import annotations

import time
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from azure.containerregistry import ContainerRegistryClient
from azure.core.credentials import TokenCredential
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy

from rebuilder.azure._clients import TIMEOUTS, Clients
from rebuilder.azure._errors import answered
from rebuilder.azure.throttle import ReadRetryPolicy
from rebuilder.core.acr.images import (
    CONFIG_LIMIT,
    INVALID_IMAGE,
    annotations_of,
    config_of,
    diff_ids,
    digest_of,
    entry_for,
    layers,
)
from rebuilder.core.dependencies.evidence import ImageContent
from rebuilder.core.foreign_json import LIMIT, read_object
from rebuilder.errors import InvalidJson, NotFound, Refused

_PUBLIC_ARM = "https://management.azure.com"
_PUBLIC_AUDIENCE = "https://containerregistry.azure.net"

# Source of the names: github.com/opencontainers/image-spec, annotations.md.
_BASE_NAME = "org.opencontainers.image.base.name"
_BASE_DIGEST = "org.opencontainers.image.base.digest"
_CONTENTS = 500
_TIMES = 10_000
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
        self._clients = Clients(self._client)
        self._created: dict[tuple[str, str, str], datetime] = {}
        self._contents: dict[tuple[str, str, str, str], ImageContent] = {}

    def close(self) -> None:
        """Close the connections."""
        self._clients.close()

    def digest(self, login_server: str, repository: str, tag: str) -> str | None:
        """Return what a tag names; see Images."""
        try:
            with answered(f"read the tag {login_server}/{repository}:{tag}"):
                properties = self._clients[login_server].get_tag_properties(repository, tag)
                return digest_of(properties.digest, f"{login_server}/{repository}:{tag}")
        except NotFound:
            return None

    def created(self, login_server: str, repository: str, digest: str) -> datetime | None:
        """Return when a digest came; see Images."""
        # A manifest keeps its time for life, and a plan asks once per task.
        key = (login_server, repository, digest)
        known = self._created.get(key)
        if known is None:
            found = self._read_created(login_server, repository, digest)
            if found is None:
                return None
            if len(self._created) >= _TIMES:
                self._created.clear()
            self._created[key] = found
            return found
        return known

    def _read_created(self, login_server: str, repository: str, digest: str) -> datetime | None:
        try:
            with answered(f"read the manifest {login_server}/{repository}@{digest}"):
                client = self._clients[login_server]
                return client.get_manifest_properties(repository, digest).created_on
        except NotFound:
            return None

    def tagged(self, login_server: str, repository: str, tag: str, digest: str) -> datetime | None:
        """Return when a tag was last written; see Images."""
        try:
            with answered(f"read the tag {login_server}/{repository}:{tag}"):
                properties = self._client(login_server).get_tag_properties(repository, tag)
        except NotFound:
            return None
        return properties.last_updated_on if properties.digest == digest else None

    def content(
        self, login_server: str, repository: str, reference: str, platform: str
    ) -> ImageContent | None:
        """Return what an image is made of; see Images."""
        # A digest's content never changes, and many tasks are built on the same base.
        key = (login_server, repository, reference, platform)
        if key in self._contents:
            return self._contents[key]
        try:
            with answered(f"read the image {login_server}/{repository} at {reference}"):
                found = self._checked_content(login_server, repository, reference, platform)
        except NotFound:
            return None
        if found is not None and ":" in reference:
            if len(self._contents) >= _CONTENTS:
                self._contents.clear()
            self._contents[key] = found
        return found

    def _checked_content(
        self, login_server: str, repository: str, reference: str, platform: str
    ) -> ImageContent | None:
        client = self._clients[login_server]
        try:
            return self._read_content(client, repository, reference, platform)
        except Refused as error:
            if error.code != INVALID_IMAGE:
                raise
            raise Refused(INVALID_IMAGE, f"{login_server}/{repository}: {error}") from error
        except ValueError as error:
            # The SDK's own checks: a digest that does not fit, a manifest without length.
            raise Refused(INVALID_IMAGE, f"{login_server}/{repository}: {error}") from error

    def _read_content(
        self, client: ContainerRegistryClient, repository: str, reference: str, platform: str
    ) -> ImageContent | None:
        digest, manifest = _manifest(client, repository, reference)
        known = annotations_of(manifest)
        own = digest
        if "manifests" in manifest:
            chosen = entry_for(manifest, platform)
            if chosen is None:
                return None
            known |= annotations_of(chosen)
            wanted = digest_of(chosen.get("digest"), f"its image for {platform}")
            own, manifest = _manifest(client, repository, wanted)
            known |= annotations_of(manifest)
        config = config_of(manifest)
        if config is None:
            return None
        return ImageContent(
            digest,
            own,
            known.get(_BASE_NAME) or "",
            known.get(_BASE_DIGEST) or "",
            layers(manifest),
            _diff_ids(client, repository, *config),
        )

    def _client(self, login_server: str) -> ContainerRegistryClient:
        return ContainerRegistryClient(
            f"https://{login_server}",
            self._credential,
            audience=self._audience,
            raw_response_hook=_read_answer,
            retry_policy=ReadRetryPolicy(),
            per_retry_policies=[_Remembered()],
            **TIMEOUTS,
        )


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


def read_refusal(response: PipelineResponse[Any, Any]) -> bool:
    """Read an answer that is an error at once; tell whether it is one.

    The SDK streams manifests and blobs, and would leave the connection of every refusal open:
    of the one too that asks for a token, with which each request begins.
    """
    refused = response.http_response.status_code >= HTTPStatus.BAD_REQUEST
    if refused:
        response.http_response.read()
    return bool(refused)


def _read_answer(response: PipelineResponse[Any, Any]) -> None:
    """Read an answer that is an error at once, and look at a manifest before the SDK reads it.

    Of a manifest the SDK looks at the length, and reads JSON of any depth.
    """
    answer = response.http_response
    if read_refusal(response):
        return
    if "/manifests/" in urlsplit(str(response.http_request.url)).path:
        if "Content-Encoding" in answer.headers:
            raise Refused(INVALID_IMAGE, "the manifest is compressed, unasked")
        # Not longer than it says it is: HTTP ends it there.
        if int(answer.headers.get("Content-Length", LIMIT + 1)) > LIMIT:
            raise Refused(INVALID_IMAGE, f"the manifest is longer than {LIMIT} bytes, or untold")
        try:
            read_object(answer.read())
        except InvalidJson as error:
            raise Refused(INVALID_IMAGE, f"the manifest is {error}") from None


def _manifest(
    client: ContainerRegistryClient, repository: str, reference: str
) -> tuple[str, dict[str, Any]]:
    found = client.get_manifest(repository, reference)
    manifest: dict[str, Any] = found.manifest or {}
    return digest_of(found.digest, "the manifest"), manifest


def _diff_ids(
    client: ContainerRegistryClient, repository: str, digest: str, said: int
) -> tuple[str, ...]:
    if said > CONFIG_LIMIT:
        return ()
    pieces, size = [], 0
    with client.download_blob(repository, digest) as stream:
        for piece in stream:
            size += len(piece)
            # What it says of its size is whoever pushed it's own word.
            if size > CONFIG_LIMIT:
                return ()
            pieces.append(piece)
    return diff_ids(b"".join(pieces))
