"""What registries hold: blobs, manifests, tags; in memory, behind one lock."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from localcloud.clock import Clock
from localcloud.state import Json, Registry

INDEX_TYPES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)


class RegistryError(Exception):
    """What a registry answers in the form of the distribution specification."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(slots=True)
class Manifest:
    """A manifest as it was pushed."""

    digest: str
    media_type: str
    data: bytes
    created: datetime
    updated: datetime

    @property
    def content(self) -> Json:
        """The manifest's JSON."""
        content: Json = json.loads(self.data)
        return content

    @property
    def size(self) -> int:
        """The size of the image: of the config and the layers."""
        parts = [self.content.get("config") or {}, *self.content.get("layers", [])]
        return sum(int(part.get("size", 0)) for part in parts)


@dataclass(slots=True)
class Tag:
    """A tag and the digest it names."""

    digest: str
    created: datetime
    updated: datetime


@dataclass(slots=True)
class Repository:
    """A repository of a registry."""

    created: datetime
    updated: datetime
    blobs: set[str] = field(default_factory=set)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    attributes: dict[str, dict[str, bool]] = field(default_factory=dict)


def digest_of(data: bytes) -> str:
    """Return the sha256 digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Store:
    """Every registry's content. Bytes are kept once, however many repositories hold them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._bytes: dict[str, bytes] = {}
        self._repositories: dict[str, dict[str, Repository]] = {}

    @contextmanager
    def repositories(self, registry: Registry) -> Iterator[dict[str, Repository]]:
        """Hold the lock and give a registry's repositories by name."""
        with self._lock:
            yield self._repositories.setdefault(registry.login_server.lower(), {})

    def repository(self, registry: Registry, name: str) -> Repository:
        """Return a repository.

        Raises:
            RegistryError: NAME_UNKNOWN.
        """
        with self.repositories(registry) as known:
            if name not in known:
                raise RegistryError(404, "NAME_UNKNOWN", f"repository {name} is not found")
            return known[name]

    def _made(self, registry: Registry, name: str) -> Repository:
        with self.repositories(registry) as known:
            now = self._clock.now()
            return known.setdefault(name, Repository(now, now))

    def put_blob(self, registry: Registry, name: str, data: bytes, digest: str | None) -> str:
        """Keep a blob and return its digest.

        Raises:
            RegistryError: DIGEST_INVALID, if it has another digest than `digest`.
        """
        actual = digest_of(data)
        if digest is not None and digest != actual:
            raise RegistryError(400, "DIGEST_INVALID", f"{digest} was sent, {actual} was received")
        with self._lock:
            self._bytes[actual] = data
            self._made(registry, name).blobs.add(actual)
        return actual

    def mount_blob(self, registry: Registry, name: str, digest: str, source: str) -> bool:
        """Take a blob over from another repository of the registry; tell whether it was there."""
        with self.repositories(registry) as known:
            if source not in known or digest not in known[source].blobs:
                return False
            self._made(registry, name).blobs.add(digest)
            return True

    def blob(self, registry: Registry, name: str, digest: str) -> bytes:
        """Return a blob.

        Raises:
            RegistryError: BLOB_UNKNOWN.
        """
        with self._lock:
            if digest not in self._made_or_none(registry, name):
                raise RegistryError(404, "BLOB_UNKNOWN", f"blob {digest} is not found")
            return self._bytes[digest]

    def _made_or_none(self, registry: Registry, name: str) -> set[str]:
        with self.repositories(registry) as known:
            return known[name].blobs if name in known else set()

    def delete_blob(self, registry: Registry, name: str, digest: str) -> None:
        """Take a blob out of a repository."""
        with self._lock:
            self.blob(registry, name, digest)
            self.repository(registry, name).blobs.discard(digest)

    def put_manifest(
        self, registry: Registry, name: str, reference: str, media_type: str, data: bytes
    ) -> Manifest:
        """Keep a manifest under a tag or under its digest.

        Raises:
            RegistryError: MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN or DIGEST_INVALID.
        """
        digest = digest_of(data)
        if ":" in reference and reference != digest:
            raise RegistryError(400, "DIGEST_INVALID", f"{reference} was sent, it is {digest}")
        try:
            content = json.loads(data)
        except ValueError as error:
            raise RegistryError(400, "MANIFEST_INVALID", "not JSON") from error
        if not isinstance(content, dict):
            raise RegistryError(400, "MANIFEST_INVALID", "not a JSON object")
        with self._lock:
            repository = self._made(registry, name)
            self._check_parts(repository, content, media_type)
            now = self._clock.now()
            manifest = repository.manifests.get(digest)
            if manifest is None:
                manifest = Manifest(digest, media_type, data, now, now)
                repository.manifests[digest] = manifest
            manifest.updated = repository.updated = now
            if ":" not in reference:
                tag = repository.tags.setdefault(reference, Tag(digest, now, now))
                tag.digest, tag.updated = digest, now
            return manifest

    @staticmethod
    def _check_parts(repository: Repository, content: dict[str, Any], media_type: str) -> None:
        if media_type in INDEX_TYPES:
            children = [child["digest"] for child in content.get("manifests", [])]
            unknown = [child for child in children if child not in repository.manifests]
        else:
            parts = [content.get("config") or {}, *content.get("layers", [])]
            digests = [part["digest"] for part in parts if "digest" in part]
            unknown = [digest for digest in digests if digest not in repository.blobs]
        if unknown:
            raise RegistryError(400, "MANIFEST_BLOB_UNKNOWN", f"blobs are unknown: {unknown}")

    def manifest(self, registry: Registry, name: str, reference: str) -> Manifest:
        """Return a manifest by tag or digest.

        Raises:
            RegistryError: MANIFEST_UNKNOWN.
        """
        with self._lock:
            with self.repositories(registry) as known:
                repository = known.get(name)
            if repository is not None:
                tag = repository.tags.get(reference)
                found = repository.manifests.get(tag.digest if tag else reference)
                if found is not None:
                    return found
        raise RegistryError(
            404, "MANIFEST_UNKNOWN", f"manifest tagged by {reference!r} is not found"
        )

    def delete_manifest(self, registry: Registry, name: str, digest: str) -> Manifest:
        """Delete a manifest and every tag that names it."""
        with self._lock:
            manifest = self.manifest(registry, name, digest)
            repository = self.repository(registry, name)
            del repository.manifests[manifest.digest]
            for tag in [t for t, held in repository.tags.items() if held.digest == digest]:
                del repository.tags[tag]
            return manifest

    def delete_tag(self, registry: Registry, name: str, tag: str) -> None:
        """Delete a tag; the manifest stays.

        Raises:
            RegistryError: TAG_UNKNOWN.
        """
        with self._lock:
            if self.repository(registry, name).tags.pop(tag, None) is None:
                raise RegistryError(404, "TAG_UNKNOWN", f"the specified tag {tag} does not exist")

    def referrers(self, registry: Registry, name: str, digest: str) -> list[Json]:
        """Return descriptors of the manifests whose subject is `digest`."""
        with self.repositories(registry) as known:
            manifests = list(known[name].manifests.values()) if name in known else []
        found = []
        for manifest in manifests:
            content = manifest.content
            if (content.get("subject") or {}).get("digest") != digest:
                continue
            kind = content.get("artifactType") or (content.get("config") or {}).get("mediaType")
            descriptor = {
                "mediaType": manifest.media_type,
                "digest": manifest.digest,
                "size": len(manifest.data),
                "artifactType": kind,
                "annotations": content.get("annotations"),
            }
            found.append({key: value for key, value in descriptor.items() if value is not None})
        return found
