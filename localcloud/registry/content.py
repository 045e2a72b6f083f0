"""What registries hold, and what happens when something is pushed or deleted."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from localcloud.clock import Clock
from localcloud.registry.auth import Auth
from localcloud.registry.store import Manifest, RegistryError, Store
from localcloud.roles import Roles
from localcloud.state import Json, Registry, State, azure_time
from localcloud.tokens import Tokens

type Publish = Callable[[Registry, str, str, Json], None]
type Moved = Callable[[Registry, str, str, str], None]
type Endpoint = Callable[[RegistryService, Request, Registry], Awaitable[Response]]


@dataclass(slots=True)
class HubBehaviour:
    """How Docker Hub is today.

    Attributes:
        rate_limit: What it says to whoever pulls, instead of giving an image; "" for nothing.
    """

    rate_limit: str = ""


@dataclass(slots=True)
class RegistryBehaviour:
    """How registries serve blobs.

    Attributes:
        blobs_elsewhere: Whether a GET of a blob is sent on to a storage account, as Azure does it;
            then closed networks have to open that host, too.
    """

    blobs_elsewhere: bool = False


HUB_HOSTS = ("registry-1.docker.io", "docker.io", "index.docker.io", "registry.hub.docker.com")


class RegistryService:
    """Every registry of the cloud, and Docker Hub.

    Args:
        state: Which registries there are.
        clock: Cloud time.
        tokens: Who signs.
        roles: Who may do what.
        publish: Told of every manifest that is pushed or deleted, as Event Grid is.
        moved: Told of registry, repository, tag and digest when a push makes a tag name another
            digest.
    """

    def __init__(
        self,
        state: State,
        clock: Clock,
        tokens: Tokens,
        roles: Roles,
        publish: Publish,
        moved: Moved,
    ) -> None:
        self.store = Store(clock)
        self.auth = Auth(tokens, roles)
        self.uploads: dict[str, bytearray] = {}
        self.hub_behaviour = HubBehaviour()
        self.behaviour = RegistryBehaviour()
        # Where blobs are served from is known to the cloud alone, which sets it.
        self.share: Callable[[str, bytes], str] = lambda path, _: path
        self._state = state
        self._clock = clock
        self._publish = publish
        self._moved = moved
        self._hub = Registry("", "", "dockerhub", "global", HUB_HOSTS[0])

    def at(self, host: str) -> Registry | None:
        """Return the registry of a host, in lower case; Docker Hub is one."""
        return self._hub if host in HUB_HOSTS else self._state.by_host(host)

    def hub(self) -> Registry:
        """Return Docker Hub: anybody pulls, nobody pushes."""
        return self._hub

    def registry_token(self, registry: Registry, who: str) -> str:
        """Return a refresh token that allows everything.

        It is the password of user 00000000-0000-0000-0000-000000000000.
        """
        return self.auth.refresh_token(registry, who, everything=True)

    def require(self, request: Request, registry: Registry, scope: str) -> None:
        """Let a request pass that may do what `scope` says.

        Raises:
            Unauthorized: It may not.
        """
        if registry is not self._hub:
            self.auth.require(request, registry, scope)
        elif scope and not scope.endswith(":pull"):
            raise RegistryError(403, "DENIED", "Docker Hub is read-only here")
        elif scope and self.hub_behaviour.rate_limit:
            raise RegistryError(429, "TOOMANYREQUESTS", self.hub_behaviour.rate_limit)

    def put_blob(self, registry: Registry, repository: str, data: bytes) -> str:
        """Put a blob without HTTP; return its digest."""
        return self.store.put_blob(registry, repository, data, None)

    def put_manifest(
        self,
        registry: Registry,
        repository: str,
        reference: str,
        media_type: str,
        data: bytes,
        *,
        request: Json | None = None,
        notify: bool = True,
        trigger: bool = True,
    ) -> Manifest:
        """Put a manifest under a tag or its digest.

        Args:
            registry: Where.
            repository: In which repository.
            reference: The tag, or the digest.
            media_type: The manifest's type.
            data: The manifest.
            request: What the event is to tell of the request.
            notify: Whether Event Grid is told.
            trigger: Whether ACR's own base image trigger is told.
        """
        before = self.manifest(registry, repository, reference)
        manifest = self.store.put_manifest(registry, repository, reference, media_type, data)
        tag = None if ":" in reference else reference
        if notify and registry is not self._hub:
            self._notify(registry, "ImagePushed", "push", repository, manifest, tag, request)
        if trigger and tag and (before is None or before.digest != manifest.digest):
            self._moved(registry, repository, tag, manifest.digest)
        return manifest

    def manifest(self, registry: Registry, repository: str, reference: str) -> Manifest | None:
        """Return a manifest by tag or digest, without HTTP."""
        try:
            return self.store.manifest(registry, repository, reference)
        except RegistryError:
            return None

    def blob(self, registry: Registry, repository: str, digest: str) -> bytes | None:
        """Return a blob, without HTTP."""
        try:
            return self.store.blob(registry, repository, digest)
        except RegistryError:
            return None

    def delete_manifest(
        self, registry: Registry, repository: str, digest: str, request: Json | None = None
    ) -> None:
        """Delete a manifest, and tell Event Grid of it."""
        manifest = self.store.delete_manifest(registry, repository, digest)
        self._notify(registry, "ImageDeleted", "delete", repository, manifest, None, request)

    def _notify(
        self,
        registry: Registry,
        event_type: str,
        action: str,
        repository: str,
        manifest: Manifest,
        tag: str | None,
        request: Json | None,
    ) -> None:
        """Publish an event as the samples of Azure/azure-rest-api-specs have it."""
        target: Json = {
            "mediaType": manifest.media_type,
            "digest": manifest.digest,
            "repository": repository,
        }
        if action == "push":
            url = f"https://{registry.login_server}/v2/{repository}/manifests/{manifest.digest}"
            size = len(manifest.data)
            target |= {"size": size, "length": size, "url": url}
        if tag is not None:
            target["tag"] = tag
        data: Json = {
            "id": str(uuid.uuid4()),
            "timestamp": azure_time(self._clock.now()),
            "action": action,
            "location": registry.location,
            "target": target,
        }
        if request is not None:
            data["request"] = request
        subject = repository if tag is None else f"{repository}:{tag}"
        self._publish(registry, f"Microsoft.ContainerRegistry.{event_type}", subject, data)
